/* Which file of a folder is the plugin for a torch version, and whether all of
   it is there. */
#ifndef INVACT_PLUGIN_ATTACH_FIND_PLUGIN_H_
#define INVACT_PLUGIN_ATTACH_FIND_PLUGIN_H_

#include <stddef.h>

/* <folder>/libinvact-torch2.11.0+cu130.so, else
   <folder>/libinvact-torch2.11.so. 0 when neither can be read. */
int invact_find_plugin(const char* folder, const char* version, char* plugin,
                       size_t size);

/* 0 when the file ends before what its own headers promise: an interrupted
   copy. Loading such a file would end the job by SIGBUS. */
int invact_is_whole(const char* plugin);

#endif /* INVACT_PLUGIN_ATTACH_FIND_PLUGIN_H_ */
