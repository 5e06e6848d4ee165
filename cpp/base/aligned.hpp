// A cache-line aligned array that is left uninitialised: scratch for kernels.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace aigc_fast {

inline constexpr std::size_t kCacheLine = 64;

template <class T>
class AlignedArray {
  public:
    AlignedArray() = default;
    explicit AlignedArray(std::size_t size)
        : data_(static_cast<T*>(::operator new[](size * sizeof(T), std::align_val_t{kCacheLine}))), size_(size) {}

    T* data() { return data_.get(); }
    const T* data() const { return data_.get(); }
    std::size_t size() const { return size_; }
    T& operator[](std::size_t i) { return data_.get()[i]; }
    const T& operator[](std::size_t i) const { return data_.get()[i]; }

    // Grows when too small; the content is lost.
    void reserve(std::size_t size) {
        if (size > size_) *this = AlignedArray(size);
    }

  private:
    struct Free {
        void operator()(T* p) const { ::operator delete[](p, std::align_val_t{kCacheLine}); }
    };
    std::unique_ptr<T[], Free> data_;
    std::size_t size_ = 0;
};

}  // namespace aigc_fast
