#include "plugin/observe/import_slot.h"

#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>

namespace invact {

namespace {

#if defined(__x86_64__)
constexpr uint32_t kJumpSlot = R_X86_64_JUMP_SLOT;
constexpr uint32_t kGlobalData = R_X86_64_GLOB_DAT;
constexpr uint32_t kAbsolute = R_X86_64_64;
#elif defined(__aarch64__)
constexpr uint32_t kJumpSlot = R_AARCH64_JUMP_SLOT;
constexpr uint32_t kGlobalData = R_AARCH64_GLOB_DAT;
constexpr uint32_t kAbsolute = R_AARCH64_ABS64;
#else
#error "relocation numbers of this machine are not known here"
#endif

struct Search {
  const char* library;
  std::span<ImportPatch> patches;
  bool found = false;
};

struct Tables {
  const ElfW(Sym) * symbols = nullptr;
  const char* strings = nullptr;
  const ElfW(Rela) * plt = nullptr;
  size_t plt_count = 0;
  const ElfW(Rela) * data = nullptr;
  size_t data_count = 0;
};

// glibc has already added the load address to these pointers.
Tables ReadDynamic(const ElfW(Dyn) * dynamic) {
  Tables tables;
  for (const ElfW(Dyn)* d = dynamic; d->d_tag != DT_NULL; ++d) {
    const auto address = d->d_un.d_ptr;
    switch (d->d_tag) {
      case DT_SYMTAB:
        tables.symbols = reinterpret_cast<const ElfW(Sym)*>(address);
        break;
      case DT_STRTAB:
        tables.strings = reinterpret_cast<const char*>(address);
        break;
      case DT_JMPREL:
        tables.plt = reinterpret_cast<const ElfW(Rela)*>(address);
        break;
      case DT_PLTRELSZ:
        tables.plt_count = d->d_un.d_val / sizeof(ElfW(Rela));
        break;
      case DT_RELA:
        tables.data = reinterpret_cast<const ElfW(Rela)*>(address);
        break;
      case DT_RELASZ:
        tables.data_count = d->d_un.d_val / sizeof(ElfW(Rela));
        break;
    }
  }
  return tables;
}

// The slot's page may have been made read-only after relocation.
bool WriteSlot(void** slot, void* value, uintptr_t relro_begin,
               uintptr_t relro_end) {
  const auto address = reinterpret_cast<uintptr_t>(slot);
  const bool read_only = address >= relro_begin && address < relro_end;
  const auto page_size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  void* page = reinterpret_cast<void*>(address & ~(page_size - 1));
  if (read_only && mprotect(page, page_size, PROT_READ | PROT_WRITE) != 0) {
    return false;
  }
  std::atomic_ref<void*>(*slot).store(value, std::memory_order_release);
  if (read_only) mprotect(page, page_size, PROT_READ);
  return true;
}

int Visit(dl_phdr_info* info, size_t, void* data) {
  auto* search = static_cast<Search*>(data);
  const char* name = info->dlpi_name;
  if (name == nullptr) return 0;
  const char* base = std::strrchr(name, '/');
  if (std::strcmp(base != nullptr ? base + 1 : name, search->library) != 0) {
    return 0;
  }
  const ElfW(Dyn)* dynamic = nullptr;
  uintptr_t relro_begin = 0, relro_end = 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type == PT_DYNAMIC) {
      dynamic =
          reinterpret_cast<const ElfW(Dyn)*>(info->dlpi_addr + header.p_vaddr);
    } else if (header.p_type == PT_GNU_RELRO) {
      relro_begin = info->dlpi_addr + header.p_vaddr;
      relro_end = relro_begin + header.p_memsz;
    }
  }
  if (dynamic == nullptr) return 1;
  const Tables tables = ReadDynamic(dynamic);
  if (tables.symbols == nullptr || tables.strings == nullptr) return 1;
  search->found = true;
  auto patch_all = [&](const ElfW(Rela) * relocations, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const uint32_t type = ELF64_R_TYPE(relocations[i].r_info);
      if (type != kJumpSlot && type != kGlobalData && type != kAbsolute) {
        continue;
      }
      const char* symbol =
          tables.strings +
          tables.symbols[ELF64_R_SYM(relocations[i].r_info)].st_name;
      for (ImportPatch& patch : search->patches) {
        if (std::strcmp(symbol, patch.symbol) != 0) continue;
        auto* slot =
            reinterpret_cast<void**>(info->dlpi_addr + relocations[i].r_offset);
        patch.slots +=
            WriteSlot(slot, patch.replacement, relro_begin, relro_end);
      }
    }
  };
  if (tables.plt != nullptr) patch_all(tables.plt, tables.plt_count);
  bool missing = false;
  for (const ImportPatch& patch : search->patches) missing |= patch.slots == 0;
  // Among the data are tables of virtual functions, and everything in a build
  // without slots for lazy binding.
  if (missing && tables.data != nullptr) {
    patch_all(tables.data, tables.data_count);
  }
  return 1;
}

}  // namespace

bool PatchImports(const char* library,
                  std::span<ImportPatch> patches) noexcept {
  Search search{library, patches};
  dl_iterate_phdr(Visit, &search);
  return search.found;
}

}  // namespace invact
