#include "dlpack.hpp"

#include <cstring>
#include <stdexcept>

namespace aigc_fast::cuda {
namespace {

// The C structures of the standard.
struct DLTensor {
    void* data;
    std::int32_t device_type;
    std::int32_t device_id;
    std::int32_t ndim;
    std::uint8_t code;
    std::uint8_t bits;
    std::uint16_t lanes;
    std::int64_t* shape;
    std::int64_t* strides;
    std::uint64_t byte_offset;
};
struct DLManagedTensor {
    DLTensor tensor;
    void* manager;
    void (*deleter)(DLManagedTensor*);
};
struct DLManagedTensorVersioned {
    std::uint32_t major;
    std::uint32_t minor;
    void* manager;
    void (*deleter)(DLManagedTensorVersioned*);
    std::uint64_t flags;
    DLTensor tensor;
};
constexpr std::uint64_t kReadOnly = 1;
constexpr std::int32_t kCudaDevice = 2;
constexpr std::int32_t kCudaManagedDevice = 13;

std::string dtype_of(const DLTensor& tensor) {
    static const char* const names[] = {"int", "uint", "float", "opaque", "bfloat", "complex", "bool"};
    const std::string name = tensor.code < 7 ? names[tensor.code] : "type" + std::to_string(tensor.code) + "_";
    if (tensor.lanes != 1) return name + std::to_string(tensor.bits) + "x" + std::to_string(tensor.lanes);
    return name == "bool" ? name : name + std::to_string(tensor.bits);
}

}  // namespace

DlpackArray read_dlpack(const pybind11::capsule& capsule) {
    DlpackArray array;
    const DLTensor* tensor = nullptr;
    const char* name = capsule.name();
    if (name != nullptr && std::strcmp(name, "dltensor_versioned") == 0) {
        const auto* managed = capsule.get_pointer<DLManagedTensorVersioned>();
        if (managed->major != 1)
            throw std::invalid_argument("DLPack version " + std::to_string(managed->major) + " is not known");
        array.read_only = (managed->flags & kReadOnly) != 0;
        tensor = &managed->tensor;
    } else if (name != nullptr && std::strcmp(name, "dltensor") == 0) {
        tensor = &capsule.get_pointer<DLManagedTensor>()->tensor;
    } else {
        throw std::invalid_argument("not a DLPack capsule, or one that was consumed");
    }
    if (tensor->device_type != kCudaDevice && tensor->device_type != kCudaManagedDevice)
        throw std::invalid_argument("its memory is not that of a CUDA device (DLPack device type " +
                                    std::to_string(tensor->device_type) + ")");
    array.data = reinterpret_cast<std::uintptr_t>(tensor->data) + tensor->byte_offset;
    array.device = tensor->device_id;
    array.dtype = dtype_of(*tensor);
    array.shape.assign(tensor->shape, tensor->shape + tensor->ndim);
    array.strides.resize(array.shape.size());
    std::int64_t next = 1;
    for (std::size_t i = array.shape.size(); i-- > 0;) {
        array.strides[i] = tensor->strides != nullptr ? tensor->strides[i] : next;
        next *= array.shape[i];
    }
    return array;
}

}  // namespace aigc_fast::cuda
