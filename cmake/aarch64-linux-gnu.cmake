# Builds for 64-bit ARM on another machine and runs the tests in qemu. Debian: g++-aarch64-linux-gnu qemu-user.
# QEMU_CPU=max has the dot product extension, QEMU_CPU=cortex-a72 does not.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
