//! Copying and clearing memory by the octet, in a tenth of the code that the compiler's own functions
//! take, which are made for speed. A serial line is slower still.
//!
//! The names, their arguments and the registers they may change are those of the run-time ABI for the
//! Arm architecture, section 5.3.4. The compiler's own are weak: these take their place.

use core::arch::global_asm;

global_asm!(
    ".syntax unified",
    ".macro entry name",
    ".global \\name",
    ".type \\name, %function",
    ".thumb_func",
    "\\name:",
    ".endm",
    ".section .text.memory, \"ax\", %progbits",
    ".p2align 1",
    // (to, from, octets): forwards
    "entry __aeabi_memcpy",
    "entry __aeabi_memcpy4",
    "entry __aeabi_memcpy8",
    "1: subs r2, #1",
    "bmi 2f",
    "ldrb r3, [r1], #1",
    "strb r3, [r0], #1",
    "b 1b",
    "2: bx lr",
    // (to, from, octets): forwards, or backwards if `to` is behind `from`
    "entry __aeabi_memmove",
    "entry __aeabi_memmove4",
    "entry __aeabi_memmove8",
    "cmp r0, r1",
    "bls 1b",
    "3: subs r2, #1",
    "bmi 2b",
    "ldrb r3, [r1, r2]",
    "strb r3, [r0, r2]",
    "b 3b",
    // (to, octets)
    "entry __aeabi_memclr",
    "entry __aeabi_memclr4",
    "entry __aeabi_memclr8",
    "movs r2, #0",
    // (to, octets, with)
    "entry __aeabi_memset",
    "entry __aeabi_memset4",
    "entry __aeabi_memset8",
    "4: subs r1, #1",
    "bmi 2b",
    "strb r2, [r0], #1",
    "b 4b",
);
