// Pushes a scope around every call of an nn.Module written in Python.
//
// How: the function torch.nn.Module._call_impl stays the very object that it
// is; only the pointer by which the interpreter enters it (its vectorcall) is
// ours. So torch.compile, torch.fx, torch.jit, inspect and pickle see nothing,
// no Python frame is added, exceptions and their tracebacks are untouched, and
// a module whose class overrides __call__ is seen as well. Global module hooks
// would make torch.compile warn and cost twenty times as much.
//
// Threads: with the GIL, which is never taken here. Nothing throws; a failure
// leaves modules without names and says so once.
#ifndef INVACT_PLUGIN_PYTHON_MODULE_SCOPES_H_
#define INVACT_PLUGIN_PYTHON_MODULE_SCOPES_H_

namespace invact {

// While torch is being imported (torch.nn does not exist yet), or later.
// `torch_c` is the module torch._C where sys.modules does not hold it yet.
// Waits, without a hook in the import system, for the first nn.Module.
void PrepareModuleScopes(void* torch_c = nullptr) noexcept;

// Now. False while torch.nn.modules.module is not imported.
bool InstallModuleScopes() noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_PYTHON_MODULE_SCOPES_H_
