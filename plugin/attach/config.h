/* What libinvact.so itself reads from the environment: whether it has anything
   to do at all. The plugin reads the rest (plugin/config.h). */
#ifndef INVACT_PLUGIN_ATTACH_CONFIG_H_
#define INVACT_PLUGIN_ATTACH_CONFIG_H_

/* INVACT_DISABLE=1 or INVACT_POLICY=none: nothing is loaded. */
int invact_switched_off(void);

/* Of the first launcher that names one; 1 where none does. */
int invact_is_first_rank(void);

#endif /* INVACT_PLUGIN_ATTACH_CONFIG_H_ */
