/* The door that Python opens: torch's _C extension is a stub that calls
   initModule of libtorch_python through a symbol look-up that a preloaded
   library answers first. */
#ifndef INVACT_PLUGIN_ATTACH_INIT_MODULE_H_
#define INVACT_PLUGIN_ATTACH_INIT_MODULE_H_

/* Forwards to the definition that the caller would have found without us and
   returns what that returned, NULL with nothing said by Python when there is
   none. `*of_torch`: whether it was torch's. */
void* invact_forward_init_module(const void* return_address, int* of_torch);

#endif /* INVACT_PLUGIN_ATTACH_INIT_MODULE_H_ */
