// store_ops.h: the parts of a transaction of the store (store/store.h), of one key each, as the API's writes need them.
#pragma once

#include <string>
#include <utility>

#include "store/store.h"

namespace kayak::api {

// 0: that it is not there.
inline store::Compare stands_at(std::string key, store::Revision revision) {
  store::Compare compare;
  compare.key = std::move(key);
  compare.number = revision;
  return compare;
}

inline store::Op put_of(std::string key, store::Bytes value) {
  store::Op op;
  op.key = std::move(key);
  op.value = std::move(value);
  return op;
}

inline store::Op delete_of(std::string key) {
  store::Op op;
  op.type = store::Op::Type::kDelete;
  op.key = std::move(key);
  return op;
}

inline store::Op range_of(std::string key, bool keys_only = false) {
  store::Op op;
  op.type = store::Op::Type::kRange;
  op.range.key = std::move(key);
  op.range.keys_only = keys_only;
  return op;
}

}  // namespace kayak::api
