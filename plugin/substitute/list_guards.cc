#include "plugin/substitute/list_guards.h"

#include <ATen/ops/_foreach_add_ops.h>
#include <ATen/ops/_foreach_addcdiv_ops.h>
#include <ATen/ops/_foreach_addcmul_ops.h>
#include <ATen/ops/_foreach_copy_ops.h>
#include <ATen/ops/_foreach_div_ops.h>
#include <ATen/ops/_foreach_lerp_ops.h>
#include <ATen/ops/_foreach_maximum_ops.h>
#include <ATen/ops/_foreach_mul_ops.h>
#include <ATen/ops/_foreach_neg_ops.h>
#include <ATen/ops/_foreach_reciprocal_ops.h>
#include <ATen/ops/_foreach_sqrt_ops.h>
#include <ATen/ops/_foreach_sub_ops.h>
#include <ATen/ops/_foreach_zero_ops.h>
#include <ATen/ops/_fused_adam_ops.h>
#include <ATen/ops/_fused_adamw_ops.h>
#include <ATen/ops/_fused_sgd_ops.h>

#include <string>

#include "plugin/substitute/write_notice.h"

namespace invact {

namespace {

enum class Written { kFirst, kEveryList };

void Announce(at::TensorList tensors) {
  for (const at::Tensor& tensor : tensors) BeforeWrite(tensor);
}
template <typename T>
void Announce(const T&) {}  // no list of tensors

template <typename Op, Written written, typename Schema = typename Op::schema>
struct Guard;

template <typename Op, Written written, typename... Rest>
struct Guard<Op, written, void(at::TensorList, Rest...)> {
  static void Run(c10::DispatchKeySet keys, at::TensorList self, Rest... rest) {
    if (WritesMatter()) {
      Announce(self);
      if constexpr (written == Written::kEveryList) (Announce(rest), ...);
    }
    Op::redispatch(keys & c10::after_ADInplaceOrView_keyset, self, rest...);
  }
};

template <typename Op, Written written>
bool Install(const c10::OperatorName& op, torch::Library* library) {
  if (op.name != Op::name || op.overload_name != Op::overload_name) {
    return false;
  }
  const std::string name = Op::name;
  const std::string overload = Op::overload_name;
  library->impl((overload.empty() ? name : name + "." + overload).c_str(),
                TORCH_FN((Guard<Op, written>::Run)));
  return true;
}

template <Written written, typename... Ops>
bool InstallOneOf(const c10::OperatorName& op, torch::Library* library) {
  return (Install<Ops, written>(op, library) || ...);
}

}  // namespace

bool InstallListGuard(const c10::OperatorName& op, torch::Library* library) {
  namespace ops = at::_ops;
  return InstallOneOf<
             Written::kFirst, ops::_foreach_add__Scalar,
             ops::_foreach_add__List, ops::_foreach_add__ScalarList,
             ops::_foreach_add__Tensor, ops::_foreach_mul__Scalar,
             ops::_foreach_mul__List, ops::_foreach_mul__ScalarList,
             ops::_foreach_mul__Tensor, ops::_foreach_div__Scalar,
             ops::_foreach_div__List, ops::_foreach_div__ScalarList,
             ops::_foreach_div__Tensor, ops::_foreach_sub__Scalar,
             ops::_foreach_sub__List, ops::_foreach_sub__ScalarList,
             ops::_foreach_addcdiv__Scalar, ops::_foreach_addcdiv__ScalarList,
             ops::_foreach_addcdiv__Tensor, ops::_foreach_addcmul__Scalar,
             ops::_foreach_addcmul__ScalarList, ops::_foreach_addcmul__Tensor,
             ops::_foreach_lerp__List, ops::_foreach_lerp__Scalar,
             ops::_foreach_lerp__ScalarList, ops::_foreach_sqrt_,
             ops::_foreach_neg_, ops::_foreach_zero_, ops::_foreach_copy_,
             ops::_foreach_maximum__List, ops::_foreach_reciprocal_>(op,
                                                                     library) ||
         InstallOneOf<Written::kEveryList, ops::_fused_adam_,
                      ops::_fused_adam__tensor_lr, ops::_fused_adamw_,
                      ops::_fused_adamw__tensor_lr, ops::_fused_sgd_,
                      ops::_fused_sgd__tensor_lr>(op, library);
}

}  // namespace invact
