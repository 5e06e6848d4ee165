// One GPU as the library uses it: its primary context (that of torch and CuPy), the loaded kernels, memory and copies.
// Everything is ordered by the caller's stream; nothing waits unless its name says so.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "driver.hpp"

namespace aigc_fast::cuda {

int device_count();

std::string device_name(int device);

// The device whose memory a pointer is of; 0 for the null pointer of an empty array.
int device_of(Address pointer);

// Major * 10 + minor.
int compute_capability(int device);

// Makes the kernels of a cubin, fatbin or PTX usable on the device. Throws NoImage where none of its images fits.
void load_kernels(int device, const void* image);
bool kernels_loaded(int device);

// The device's context is the calling thread's current one while this lives.
class DeviceScope {
  public:
    explicit DeviceScope(int device);
    ~DeviceScope();
    DeviceScope(const DeviceScope&) = delete;
    DeviceScope& operator=(const DeviceScope&) = delete;
};

// A stream of a device, on which kernels are launched.
class Stream {
  public:
    Stream(int device, std::uintptr_t stream)
        : device_(device), stream_(reinterpret_cast<Handle>(stream)), scope_(device) {}

    // Blocks of kThreads threads; parameters as the kernel takes them.
    template <class... Parameters>
    void launch(const std::string& kernel, std::size_t grid_x, std::size_t grid_y, Parameters... parameters) const {
        launch_with_shared(0, kernel, grid_x, grid_y, parameters...);
    }

    // With bytes of shared memory beside what the kernel declares.
    template <class... Parameters>
    void launch_with_shared(unsigned shared_bytes, const std::string& kernel, std::size_t grid_x, std::size_t grid_y,
                            Parameters... parameters) const {
        if (grid_x == 0 || grid_y == 0) return;
        std::array<void*, sizeof...(Parameters)> addresses{static_cast<void*>(&parameters)...};
        launch_packed(shared_bytes, kernel, grid_x, grid_y, addresses.data());
    }

  private:
    void launch_packed(unsigned shared_bytes, const std::string& kernel, std::size_t grid_x, std::size_t grid_y,
                       void** parameters) const;

    int device_;
    Handle stream_;
    DeviceScope scope_;
};

// Device memory of our own. With a stream, it is ordered by it; without one it is free for all, and released when all
// work on the device is done.
class Buffer {
  public:
    Buffer(int device, std::optional<std::uintptr_t> stream, std::size_t bytes);
    ~Buffer();
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    Address address() const { return address_; }
    std::size_t bytes() const { return bytes_; }

  private:
    int device_;
    std::optional<Handle> stream_;
    std::size_t bytes_;
    unsigned generation_;
    Address address_ = 0;
};

void synchronize(int device, std::uintptr_t stream);
void copy_to_device_and_wait(int device, std::uintptr_t stream, Address to, const void* from, std::size_t bytes);
void copy_to_host_and_wait(int device, std::uintptr_t stream, void* to, Address from, std::size_t bytes);

// What comes on `stream` from now on waits for what is on `other` now.
void wait_for(int device, std::uintptr_t stream, std::uintptr_t other);

}  // namespace aigc_fast::cuda
