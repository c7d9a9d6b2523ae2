// Reads a private data member of a torch class by its name, so that a torch
// whose layout differs still gives the right member and one that has renamed it
// fails to compile. An explicit instantiation may name private members
// ([temp.spec]/6).
#ifndef INVACT_PLUGIN_OBSERVE_PRIVATE_MEMBER_H_
#define INVACT_PLUGIN_OBSERVE_PRIVATE_MEMBER_H_

namespace invact {

template <typename Tag, typename Tag::Pointer Member>
struct PrivateMember {
  friend typename Tag::Pointer Get(Tag) { return Member; }
};

}  // namespace invact

// In namespace invact: declares Tag so that `object.*Get(Tag())` is the member.
#define INVACT_PRIVATE_MEMBER(Tag, Class, Type, member) \
  struct Tag {                                          \
    using Pointer = Type Class::*;                      \
    friend Pointer Get(Tag);                            \
  };                                                    \
  template struct PrivateMember<Tag, &Class::member>;

#endif  // INVACT_PLUGIN_OBSERVE_PRIVATE_MEMBER_H_
