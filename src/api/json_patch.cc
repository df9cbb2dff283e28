// json_patch.cc: see json_patch.h.
#include "api/json_patch.h"

#include <algorithm>

#include "base/strings.h"

namespace kayak::api {

namespace {

// Steps over members and elements that a patch may take: shifting a large array 10,000 times would hold the loop for
// seconds. A real patch is far below; this much takes some 20 ms.
constexpr std::size_t kMaxWork = 4'000'000;

Error does_not_apply(std::string message) { return Error(Code::kInvalid, std::move(message)); }

// "~1" is "/", "~0" is "~", in one pass.
std::string decoded(std::string_view token) {
  std::string out;
  for (std::size_t i = 0; i < token.size(); ++i) {
    const std::string_view pair = token.substr(i, 2);
    if (pair == "~1" || pair == "~0") {
      out += pair == "~1" ? '/' : '~';
      ++i;
    } else {
      out += token[i];
    }
  }
  return out;
}

struct Operation {
  std::string_view kind = "unknown";
  const json::Value* path = nullptr;
  const json::Value* from = nullptr;
  json::Value value;
};

class Patcher {
 public:
  explicit Patcher(json::Value document) : document_(std::move(document)) {}

  Result<void> apply(const Operation& operation) {
    if (operation.kind == "add") return add(operation);
    if (operation.kind == "remove") return remove(operation);
    if (operation.kind == "replace") return replace(operation);
    if (operation.kind == "move") return move(operation);
    if (operation.kind == "test") return test(operation);
    if (operation.kind == "copy") return copy(operation);
    return does_not_apply(cat("Unexpected kind: ", operation.kind));
  }
  json::Value take() { return std::move(document_); }

 private:
  // The object or array that holds the last token of a pointer.
  struct Place {
    json::Value* container = nullptr;
    std::string key;
    explicit operator bool() const { return container != nullptr; }
  };

  Result<void> spend(std::size_t steps) {
    work_ += steps;
    if (work_ <= kMaxWork) return {};
    return Error(Code::kTooLarge, "the JSON patch needs too many steps on large arrays or objects");
  }

  // Nothing when the pointer is no pointer, or something on its way is missing or no container.
  Result<Place> find_place(std::string_view pointer) {
    Place place;
    if (!pointer.starts_with('/')) return place;
    const std::vector<std::string_view> tokens = split(pointer.substr(1), '/');
    json::Value* here = &document_;
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      Result<json::Value*> next = get(*here, decoded(tokens[i]));
      if (!next && next.error().code() == Code::kTooLarge) return next.error();
      if (!next || *next == nullptr) return place;
      here = *next;
    }
    if (!here->is_object() && !here->is_array()) return place;
    place.container = here;
    place.key = decoded(tokens.back());
    return place;
  }

  // An index into an array of `size`; negative ones count from its end.
  static Result<std::size_t> index_in(std::string_view key, std::size_t size, std::size_t limit) {
    std::int64_t index = 0;
    if (!parse_int64(key, &index)) {
      return does_not_apply(cat("strconv.Atoi: parsing ", quote(key), ": invalid syntax"));
    }
    const auto count = static_cast<std::int64_t>(size);
    if (index >= static_cast<std::int64_t>(limit) || index < -count) {
      return does_not_apply(cat("Unable to access invalid index: ", index, ": invalid index referenced"));
    }
    return static_cast<std::size_t>(index < 0 ? index + count : index);
  }

  // Null when an object has no such member.
  Result<json::Value*> get(json::Value& container, std::string_view key) {
    if (container.is_object()) {
      const Result<void> spent = spend(container.as_object().size() / 8);
      if (!spent) return spent.error();
      return container.find(key);
    }
    if (!container.is_array()) return does_not_apply("unknown object type");
    json::Array& array = container.as_array();
    const Result<std::size_t> index = index_in(key, array.size(), array.size());
    if (!index) return index.error();
    return &array[*index];
  }

  Result<void> add_at(const Place& place, json::Value value) {
    if (place.container->is_object()) {
      const Result<void> spent = spend(place.container->as_object().size() / 8);
      if (!spent) return spent;
      (*place.container)[place.key] = std::move(value);
      return {};
    }
    json::Array& array = place.container->as_array();
    std::size_t index = array.size();
    if (place.key != "-") {
      const Result<std::size_t> given = index_in(place.key, array.size() + 1, array.size() + 1);
      if (!given) {
        if (std::int64_t number = 0; parse_int64(place.key, &number)) return given.error();
        return given.error().while_doing(cat("value was not a proper array index: '", place.key, "'"));
      }
      index = *given;
    }
    const Result<void> spent = spend(array.size() - index);
    if (!spent) return spent;
    array.insert(array.begin() + static_cast<std::ptrdiff_t>(index), std::move(value));
    return {};
  }

  Result<void> remove_at(const Place& place) {
    if (place.container->is_object()) {
      const Result<void> spent = spend(place.container->as_object().size() / 2);
      if (!spent) return spent;
      if (place.container->as_object().erase(place.key)) return {};
      return does_not_apply(cat("Unable to remove nonexistent key: ", place.key, ": missing value"));
    }
    json::Array& array = place.container->as_array();
    const Result<std::size_t> index = index_in(place.key, array.size(), array.size());
    if (!index) return index.error();
    const Result<void> spent = spend(array.size() - *index);
    if (!spent) return spent;
    array.erase(array.begin() + static_cast<std::ptrdiff_t>(*index));
    return {};
  }

  static Result<std::string_view> pointer_of(const json::Value* member, std::string_view missing) {
    if (member == nullptr || member->is_null()) return does_not_apply(std::string(missing));
    if (!member->is_string()) {
      return does_not_apply(cat("json: cannot unmarshal ", go_type_name(*member), " into Go value of type string"));
    }
    return std::string_view(member->as_string());
  }
  static Result<std::string_view> path_of(const Operation& operation) {
    return pointer_of(operation.path, "operation missing path field: missing value");
  }
  static Result<std::string_view> from_of(const Operation& operation) {
    return pointer_of(operation.from, "operation, missing from field: missing value");
  }
  static Error in(std::string_view doing, const Error& error) {
    return error.code() == Code::kTooLarge ? error : error.while_doing(doing);
  }

  Result<void> add(const Operation& operation) {
    const Result<std::string_view> path = path_of(operation);
    if (!path) return does_not_apply("add operation failed to decode path: missing value");
    const Result<Place> place = find_place(*path);
    if (!place) return place.error();
    if (!*place) {
      return does_not_apply(cat("add operation does not apply: doc is missing path: \"", *path, "\": missing value"));
    }
    const Result<void> added = add_at(*place, operation.value);
    if (!added) return in(cat("error in add for path: '", *path, "'"), added.error());
    return {};
  }

  Result<void> remove(const Operation& operation) {
    const Result<std::string_view> path = path_of(operation);
    if (!path) return does_not_apply("remove operation failed to decode path: missing value");
    const Result<Place> place = find_place(*path);
    if (!place) return place.error();
    if (!*place) {
      return does_not_apply(
          cat("remove operation does not apply: doc is missing path: \"", *path, "\": missing value"));
    }
    const Result<void> removed = remove_at(*place);
    if (!removed) return in(cat("error in remove for path: '", *path, "'"), removed.error());
    return {};
  }

  Result<void> replace(const Operation& operation) {
    const Result<std::string_view> path = path_of(operation);
    if (!path) return path.error().while_doing("replace operation failed to decode path");
    if (path->empty()) {
      if (!operation.value.is_object() && !operation.value.is_array()) {
        return does_not_apply("replace operation value must be object or array");
      }
      document_ = operation.value;
      return {};
    }
    const Result<Place> place = find_place(*path);
    if (!place) return place.error();
    if (!*place) {
      return does_not_apply(cat("replace operation does not apply: doc is missing path: ", *path, ": missing value"));
    }
    if (place->container->is_object()) return add_at(*place, operation.value);
    const Result<json::Value*> old = get(*place->container, place->key);
    if (!old) {
      return does_not_apply(cat("replace operation does not apply: doc is missing key: ", *path, ": missing value"));
    }
    **old = operation.value;
    return {};
  }

  Result<void> move(const Operation& operation) {
    const Result<std::string_view> from = from_of(operation);
    if (!from) return from.error().while_doing("move operation failed to decode from");
    const Result<Place> source = find_place(*from);
    if (!source) return source.error();
    if (!*source) {
      return does_not_apply(cat("move operation does not apply: doc is missing from path: ", *from, ": missing value"));
    }
    const std::string doing = cat("error in move for path: '", source->key, "'");
    Result<json::Value*> found = get(*source->container, source->key);
    if (!found) return in(doing, found.error());
    json::Value value = *found == nullptr ? json::Value() : std::move(**found);
    const Result<void> removed = remove_at(*source);
    if (!removed) return in(doing, removed.error());
    const Result<std::string_view> path = path_of(operation);
    if (!path) return path.error().while_doing("move operation failed to decode path");
    const Result<Place> place = find_place(*path);
    if (!place) return place.error();
    if (!*place) {
      return does_not_apply(
          cat("move operation does not apply: doc is missing destination path: ", *path, ": missing value"));
    }
    const Result<void> added = add_at(*place, std::move(value));
    if (!added) return in(cat("error in move for path: '", *path, "'"), added.error());
    return {};
  }

  Result<void> test(const Operation& operation) {
    const Result<std::string_view> path = path_of(operation);
    if (!path) return path.error().while_doing("test operation failed to decode path");
    const Error failed = does_not_apply(cat("testing value ", *path, " failed: test failed"));
    if (path->empty()) return document_ == operation.value ? Result<void>() : failed;
    const Result<Place> place = find_place(*path);
    if (!place) return place.error();
    if (!*place) {
      return does_not_apply(cat("test operation does not apply: is missing path: ", *path, ": missing value"));
    }
    const Result<json::Value*> value = get(*place->container, place->key);
    if (!value) return in(cat("error in test for path: '", *path, "'"), value.error());
    // A member that is not there equals null.
    const bool same = *value == nullptr ? operation.value.is_null() : **value == operation.value;
    return same ? Result<void>() : failed;
  }

  Result<void> copy(const Operation& operation) {
    const Result<std::string_view> from = from_of(operation);
    if (!from) return from.error().while_doing("copy operation failed to decode from");
    const Result<Place> source = find_place(*from);
    if (!source) return source.error();
    if (!*source) {
      return does_not_apply(cat("copy operation does not apply: doc is missing from path: ", *from, ": missing value"));
    }
    const Result<json::Value*> found = get(*source->container, source->key);
    if (!found) return in(cat("error in copy for from: '", *from, "'"), found.error());
    const Result<std::string_view> path = path_of(operation);
    if (!path) return does_not_apply("copy operation failed to decode path: missing value");
    const Result<Place> place = find_place(*path);
    if (!place) return place.error();
    if (!*place) {
      return does_not_apply(
          cat("copy operation does not apply: doc is missing destination path: ", *path, ": missing value"));
    }
    json::Value value = *found == nullptr ? json::Value() : **found;
    copied_ += json::write(value).size();
    if (copied_ > kMaxJsonPatchCopyBytes) {
      return Error(Code::kTooLarge, cat("Unable to complete the copy, the accumulated size increase of copy is ",
                                        copied_, ", exceeding the limit ", kMaxJsonPatchCopyBytes));
    }
    const Result<void> added = add_at(*place, std::move(value));
    if (!added) return in("error while adding value during copy", added.error());
    return {};
  }

  json::Value document_;
  std::size_t work_ = 0, copied_ = 0;
};

Result<Operation> read_operation(const json::Value& value) {
  Operation operation;
  if (value.is_null()) return operation;
  if (!value.is_object()) {
    return Error(Code::kBadRequest,
                 cat("json: cannot unmarshal ", go_type_name(value), " into Go value of type jsonpatch.Operation"));
  }
  if (const json::Value* kind = value.find("op"); kind != nullptr && kind->is_string()) {
    operation.kind = kind->as_string();
  }
  operation.path = value.find("path");
  operation.from = value.find("from");
  if (const json::Value* given = value.find("value")) operation.value = *given;
  return operation;
}

// Members that are null are not there, at any depth.
void prune_nulls(json::Value& value) {
  if (value.is_array()) {
    for (json::Value& item : value.as_array()) prune_nulls(item);
  }
  if (!value.is_object()) return;
  std::erase_if(value.as_object().members(), [](const json::Member& member) { return member.second.is_null(); });
  for (auto& [key, member] : value.as_object()) prune_nulls(member);
}

void merge_into(json::Value& target, const json::Value& patch) {
  if (!patch.is_object() || !target.is_object()) {
    const bool prune = !target.is_object();
    target = patch;
    if (prune) prune_nulls(target);
    return;
  }
  for (const auto& [key, member] : patch.as_object()) {
    if (member.is_null()) {
      target.as_object().erase(key);
    } else {
      merge_into(target[key], member);
    }
  }
}

}  // namespace

std::string_view go_type_name(const json::Value& value) {
  switch (value.type()) {
    case json::Type::kObject:
      return "object";
    case json::Type::kArray:
      return "array";
    case json::Type::kString:
      return "string";
    case json::Type::kBool:
      return "bool";
    case json::Type::kNull:
      return "null";
    default:
      return "number";
  }
}

Result<json::Value> apply_json_patch(json::Value document, const json::Value& patch) {
  if (!patch.is_array()) {
    return Error(Code::kBadRequest,
                 cat("json: cannot unmarshal ", go_type_name(patch), " into Go value of type jsonpatch.Patch"));
  }
  const std::size_t count = patch.as_array().size();
  if (count > kMaxJsonPatchOperations) {
    return Error(Code::kTooLarge,
                 cat("The allowed maximum operations in a JSON patch is ", kMaxJsonPatchOperations, ", got ", count));
  }
  Patcher patcher(std::move(document));
  for (const json::Value& item : patch.as_array()) {
    const Result<Operation> operation = read_operation(item);
    if (!operation) return operation.error();
    const Result<void> applied = patcher.apply(*operation);
    if (!applied) return applied.error();
  }
  return patcher.take();
}

json::Value apply_merge_patch(json::Value document, const json::Value& patch) {
  merge_into(document, patch);
  return document;
}

}  // namespace kayak::api
