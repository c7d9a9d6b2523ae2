/* Lines of libinvact.so on stderr: why the plugin was not started.

   Such a line is said once a job, though many of its processes import torch: by
   rank 0 alone, not by a launcher (torchrun's agent) and not by a process whose
   ancestor said it already (a spawned DataLoader worker). No file and no
   variable is left to remember it by. */
#ifndef INVACT_PLUGIN_ATTACH_VOICE_H_
#define INVACT_PLUGIN_ATTACH_VOICE_H_

/* When this file is loaded: a job that begins without a stderr never gets a
   line, since the next file it opens has stderr's number. */
void invact_look_at_stderr(void);

/* One write(2) of a line that ends in a newline. A job whose stderr nobody
   reads any more is not ended by it: no SIGPIPE comes of it. */
void invact_write_line(const char* line, unsigned long size);

/* printf-like, without "invact: " and without the newline. */
__attribute__((format(printf, 1, 2))) void invact_say(const char* format, ...);

#endif /* INVACT_PLUGIN_ATTACH_VOICE_H_ */
