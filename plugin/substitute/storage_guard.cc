#include "plugin/substitute/storage_guard.h"

#include <c10/core/Storage.h>
#include <c10/core/SymInt.h>
#include <dlfcn.h>

#include <algorithm>
#include <iterator>

#include "plugin/observe/import_slot.h"
#include "plugin/substitute/write_notice.h"

namespace invact {

namespace {

constexpr char kSetData[] = "_ZNK2at10TensorBase8set_dataERKS0_";
constexpr char kResize[] =
    "_ZN2at6native19resize_bytes_nocudaERKN3c107StorageERKNS1_6SymIntE";
constexpr char kResizeCuda[] =
    "_ZN2at6native17resize_bytes_cudaEPN3c1011StorageImplEm";
// Torch 2.15 and later.
constexpr char kResizeCudaAt[] =
    "_ZN2at6native27resize_bytes_cuda_with_addrEPN3c1011StorageImplEmPv";

// Written at start only.
void (*g_set_data)(const at::TensorBase*, const at::TensorBase&);
void (*g_resize)(const c10::Storage&, const c10::SymInt&);
void (*g_resize_cuda)(c10::StorageImpl*, size_t);
void (*g_resize_cuda_at)(c10::StorageImpl*, size_t, void*);

void SetData(const at::TensorBase* variable, const at::TensorBase& data) {
  if (WritesMatter()) RebuildBeforeSetData(*variable);
  g_set_data(variable, data);
}

void Resize(const c10::Storage& storage, const c10::SymInt& bytes) {
  if (WritesMatter()) BeforeStorageWrite(storage.unsafeGetStorageImpl(), 0);
  g_resize(storage, bytes);
}

void ResizeCuda(c10::StorageImpl* storage, size_t bytes) {
  if (WritesMatter()) BeforeStorageWrite(storage, 0);
  g_resize_cuda(storage, bytes);
}

void ResizeCudaAt(c10::StorageImpl* storage, size_t bytes, void* address) {
  if (WritesMatter()) BeforeStorageWrite(storage, 0);
  g_resize_cuda_at(storage, bytes, address);
}

template <typename Function>
bool Find(void* library, const char* symbol, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, symbol));
  return *function != nullptr;
}

bool InstallCuda() {
  void* torch = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
  if (torch == nullptr || !Find(torch, kResizeCuda, &g_resize_cuda)) {
    return false;
  }
  ImportPatch patches[] = {
      {kResizeCuda, reinterpret_cast<void*>(ResizeCuda)},
      {kResizeCudaAt, reinterpret_cast<void*>(ResizeCudaAt)}};
  const bool later = Find(torch, kResizeCudaAt, &g_resize_cuda_at);
  return PatchImports("libtorch_python.so",
                      {patches, later ? size_t{2} : size_t{1}}) &&
         patches[0].slots > 0;
}

}  // namespace

bool InstallStorageGuard(bool python, bool cuda, std::string* error) noexcept {
  void* torch = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
  if (torch == nullptr || !Find(torch, kSetData, &g_set_data) ||
      !Find(torch, kResize, &g_resize)) {
    *error = "this torch resizes storages in a way that is not known here";
    return false;
  }
  ImportPatch core[] = {{kSetData, reinterpret_cast<void*>(SetData)}};
  ImportPatch in_python[] = {{kSetData, reinterpret_cast<void*>(SetData)},
                             {kResize, reinterpret_cast<void*>(Resize)}};
  const bool seen =
      PatchImports("libtorch_cpu.so", core) &&
      (!python ||
       (PatchImports("libtorch_python.so", in_python) &&
        std::all_of(std::begin(in_python), std::end(in_python),
                    [](const ImportPatch& one) { return one.slots > 0; }) &&
        (!cuda || InstallCuda())));
  if (!seen) {
    *error = "storages that a program resizes can't be seen in this torch";
  }
  return seen;
}

}  // namespace invact
