/* The sentence about a failure, for a person: "what failed: why; what to do". A function that can
 * fail for a reason that the operator has to mend returns a negative errno, and says the reason
 * here. */
#ifndef PROTO_FAULT_H
#define PROTO_FAULT_H

#define FAULT_TEXT 640

struct fault {
	char text[FAULT_TEXT];
};

/* Sets the sentence, and returns r: `return fault_set(fault, -EINVAL, "%s: not a file", path)`. */
int fault_set(struct fault *fault, int r, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
