// view.h: the small run time under the generated views (generated/api/views/*.h); draft.h is the writing side.
// A view reads one message of a shared document: a node pointer plus a reference that keeps the document alive. An
// absent message is an empty view whose readers give zero values, so that call sites need no checks on the way down:
//   for (ContainerView c : PodView(ref).spec().containers()) use(c.name(), c.image());
// Text returned as string_view lives as long as the document.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/clock.h"
#include "base/json.h"
#include "base/quantity.h"

namespace kayak::api {

// A port or a percentage: a number or a text, as the document has it.
struct IntOrString {
  IntOrString() = default;
  IntOrString(int value) : number(value) {}                                 // NOLINT: implicit by design (all)
  IntOrString(std::string_view value) : is_string(true), text(value) {}     // NOLINT
  IntOrString(const char* value) : IntOrString(std::string_view(value)) {}  // NOLINT
  bool is_string = false;
  std::int32_t number = 0;
  std::string_view text;
};

class View {
 public:
  View() = default;
  // Reads `node`, which lies in `owner`. A null node or a JSON null gives an empty view. With a null owner the caller
  // keeps the node alive.
  View(const json::Value* node, json::Document owner);
  explicit View(json::Document document) : View(document.get(), document) {}
  // Anything with document(): api::ObjectRef.
  template <typename Ref, typename = decltype(std::declval<const Ref&>()->document())>
  explicit View(const Ref& object) : View(object->document()) {}

  explicit operator bool() const { return node_ != nullptr; }
  const json::Value* json() const { return node_; }  // null when empty
  const json::Document& document() const { return owner_; }
  // Deep equality of what both show; two empty views are equal.
  bool operator==(const View& other) const;

 protected:
  const json::Value* member(std::string_view name) const;  // null when absent or JSON null
  template <typename T>
  T get(std::string_view name) const;
  template <typename T>
  std::optional<T> maybe(std::string_view name) const;

 private:
  const json::Value* node_ = nullptr;
  json::Document owner_;
};

namespace detail {
// How a node reads as T; a node of another type, or null, reads as zero. std::string is decoded base64.
void read(const json::Value* node, bool* out);
void read(const json::Value* node, std::int32_t* out);
void read(const json::Value* node, std::int64_t* out);
void read(const json::Value* node, double* out);
void read(const json::Value* node, std::string_view* out);
void read(const json::Value* node, std::string* out);
void read(const json::Value* node, Quantity* out);
void read(const json::Value* node, WallTime* out);
void read(const json::Value* node, IntOrString* out);
inline void read(const json::Value* node, const json::Value** out) { *out = node; }

std::size_t list_size(const json::Value* node);
const json::Value* list_at(const json::Value* node, std::size_t index);
std::size_t map_size(const json::Value* node);
const json::Member& map_at(const json::Value* node, std::size_t index);

template <typename T>
T make(const json::Value* node, const json::Document& owner) {
  if constexpr (std::is_base_of_v<View, T>) {
    return T(node, owner);
  } else {
    T out{};
    read(node, &out);
    return out;
  }
}
}  // namespace detail

template <typename T>
T View::get(std::string_view name) const {
  return detail::make<T>(member(name), owner_);
}
template <typename T>
std::optional<T> View::maybe(std::string_view name) const {
  const json::Value* node = member(name);
  if (!node) return std::nullopt;
  return detail::make<T>(node, owner_);
}

// A list: size, index, range-for.
template <typename T>
class RepeatedView : public View {
 public:
  using View::View;
  std::size_t size() const { return detail::list_size(json()); }
  bool empty() const { return size() == 0; }
  T operator[](std::size_t index) const { return detail::make<T>(detail::list_at(json(), index), document()); }
  class Iterator {
   public:
    Iterator(const RepeatedView* list, std::size_t index) : list_(list), index_(index) {}
    T operator*() const { return (*list_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return index_ != other.index_; }

   private:
    const RepeatedView* list_;
    std::size_t index_;
  };
  Iterator begin() const { return Iterator(this, 0); }
  Iterator end() const { return Iterator(this, size()); }
};

// A map with string keys: `for (auto [key, value] : labels)`.
template <typename T>
class MapView : public View {
 public:
  using View::View;
  std::size_t size() const { return detail::map_size(json()); }
  bool empty() const { return size() == 0; }
  bool contains(std::string_view key) const { return member(key) != nullptr; }
  T get(std::string_view key) const { return View::get<T>(key); }  // zero when absent
  std::optional<T> find(std::string_view key) const { return View::maybe<T>(key); }
  class Iterator {
   public:
    Iterator(const MapView* map, std::size_t index) : map_(map), index_(index) {}
    std::pair<std::string_view, T> operator*() const {
      const json::Member& member = detail::map_at(map_->json(), index_);
      return {member.first, detail::make<T>(&member.second, map_->document())};
    }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return index_ != other.index_; }

   private:
    const MapView* map_;
    std::size_t index_;
  };
  Iterator begin() const { return Iterator(this, 0); }
  Iterator end() const { return Iterator(this, size()); }
};

}  // namespace kayak::api
