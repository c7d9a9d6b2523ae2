/* The extension module's own file: a stub that looks initModule up, as torch's
   _C is one. With OTHER_JUMPS it leaves by a jump, so that Python looks like
   the caller; else it calls. */
void* initModule(void);

void* OTHER_ENTRY(void) {
  void* module = initModule();
#ifndef OTHER_JUMPS
  __asm__ volatile("" : "+r"(module));
#endif
  return module;
}
