/* What the fuzz targets share: assertions that hold in every build, and reading an input. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define require(condition)                                                                             \
	do {                                                                                           \
		if (!(condition)) {                                                                    \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                       \
		}                                                                                      \
	} while (0)

/* The one function of a target that libFuzzer calls. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of an input. */
struct input {
	const uint8_t *at, *end;
};

/* The next octet; 0 behind the end. */
static inline uint8_t input_u8(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

/* The next two octets, the higher first. */
static inline uint16_t input_u16(struct input *input)
{
	uint16_t high = input_u8(input);

	return (uint16_t)(high << 8 | input_u8(input));
}
