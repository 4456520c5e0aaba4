/* What the scene (helper_scene.h) is made of: a host of its own, who stays root, and who stands by. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Enters a network namespace of its own, and a mount namespace with an /etc of its own and nothing of Boundary in it.
 */
void stage_enter(void);

/* The name there of a node, for everybody, of a device that may be root's alone. */
void stage_device_name(const char *path, char *ret, size_t size);

/* Starts the process that stays root; it ends with ours. */
void stage_keep_root(void);

/* See scene_as_root(). */
bool stage_as_root(void (*act)(const void *in, void *out), const void *in, size_t in_size, void *out, size_t out_size);

/* A process that holds a session. */
struct stage_bystander {
	pid_t pid;
	int control;
};

/* Starts one as `user` (0: as whoever we are), whose session serves when this returns. Exits if it cannot. */
struct stage_bystander stage_bystander_new(const char *helper, uid_t user);

/* Ends the session in an orderly way. Returns true if the helper did what it should. */
bool stage_bystander_end(struct stage_bystander *bystander);
