/* Lines of libinvact.so on stderr: why the plugin was not started.

   Such a line is said once a job, though many of its processes import torch: by
   rank 0 alone, not by a launcher (torchrun's agent) and not by a process whose
   parent said it already (a spawned DataLoader worker). No file and no variable
   is left to remember it by. */
#ifndef INVACT_PLUGIN_ATTACH_VOICE_H_
#define INVACT_PLUGIN_ATTACH_VOICE_H_

/* printf-like, without "invact: " and without the newline. */
__attribute__((format(printf, 1, 2))) void invact_say(const char* format, ...);

#endif /* INVACT_PLUGIN_ATTACH_VOICE_H_ */
