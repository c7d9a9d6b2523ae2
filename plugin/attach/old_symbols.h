/* Binds the functions that glibc 2.34 moved from libdl to libc by their old
   versions, so that libinvact.so loads on every glibc from 2.17 on: a preloaded
   file that misses one symbol would kill every command of the job's shell. */
#ifndef INVACT_PLUGIN_ATTACH_OLD_SYMBOLS_H_
#define INVACT_PLUGIN_ATTACH_OLD_SYMBOLS_H_

#if defined(__x86_64__)
#define INVACT_OLDEST "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define INVACT_OLDEST "GLIBC_2.17"
#else
#error "the oldest glibc version of this machine is not known here"
#endif

__asm__(".symver dlopen, dlopen@" INVACT_OLDEST);
__asm__(".symver dlclose, dlclose@" INVACT_OLDEST);
__asm__(".symver dlsym, dlsym@" INVACT_OLDEST);
__asm__(".symver dlerror, dlerror@" INVACT_OLDEST);
__asm__(".symver dladdr, dladdr@" INVACT_OLDEST);

#endif /* INVACT_PLUGIN_ATTACH_OLD_SYMBOLS_H_ */
