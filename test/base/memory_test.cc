// What refused input costs in memory: this program counts what operator new hands out. AddressSanitizer brings an
// operator new of its own; there its hooks count.
#include <malloc.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>

#include "base/json.h"
#include "base/strings.h"
#include "base/yaml.h"

namespace {
thread_local std::size_t allocated = 0, peak = 0;

void count(std::size_t size) {
  allocated += size;
  if (allocated > peak) peak = allocated;
}
}  // namespace

#if defined(__SANITIZE_ADDRESS__)
// Of sanitizer/allocator_interface.h, which GCC does not install.
extern "C" std::size_t __sanitizer_get_allocated_size(const volatile void* memory);
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, std::size_t),
                                                         void (*on_free)(const volatile void*));
namespace {
void on_malloc(const volatile void*, std::size_t size) { count(size); }
void on_free(const volatile void* memory) {
  if (memory != nullptr) allocated -= __sanitizer_get_allocated_size(memory);
}
const int hooked = __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}  // namespace
#else
namespace {
void* counted_new(std::size_t size) {
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  count(malloc_usable_size(memory));
  return memory;
}
void counted_delete(void* memory) {
  if (memory == nullptr) return;
  allocated -= malloc_usable_size(memory);
  std::free(memory);
}
}  // namespace

void* operator new(std::size_t size) { return counted_new(size); }
void* operator new[](std::size_t size) { return counted_new(size); }
void operator delete(void* memory) noexcept { counted_delete(memory); }
void operator delete[](void* memory) noexcept { counted_delete(memory); }
void operator delete(void* memory, std::size_t) noexcept { counted_delete(memory); }
void operator delete[](void* memory, std::size_t) noexcept { counted_delete(memory); }
#endif

using namespace kayak;

namespace {
std::string repeated(std::string_view piece, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += piece;
  return out;
}
template <typename F>
std::size_t peak_of(F act) {
  const std::size_t before = allocated;
  peak = before;
  act();
  return peak - before;
}
}  // namespace

TEST_CASE("refused input costs at most three times its size, and 1 MiB") {
  std::string laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) laughs += cat("a", i, ": &a", i, " [", repeated(cat("*a", i - 1, ","), 9), "]\n");
  struct Row {
    std::string name, text;
  };
  for (const Row& row : {
           Row{"1,000 arrays", repeated("[", 1000) + repeated("]", 1000)},
           Row{"1,000 objects", repeated("{\"a\":", 1000)},
           Row{"1 MB of [", repeated("[", 1'000'000)},
           Row{"1 MB of {\"a\":", repeated("{\"a\":", 200'000)},
           Row{"1 MB of {a: ", repeated("{a: ", 250'000)},
           Row{"1 MB of '- '", repeated("- ", 500'000)},
           Row{"1 MB of anchors", repeated("&a ", 333'333)},
           Row{"1 MB in a string without end", "\"" + repeated("x", 1'000'000)},
           Row{"1 MB of escapes", "\"" + repeated("\\u0041", 166'666)},
           Row{"1 MB of half surrogates", "\"" + repeated("\\ud800", 166'666)},
           Row{"1 MB of wrong bytes", "\"" + repeated("\xff", 1'000'000)},
           Row{"billion laughs", laughs},
           Row{"a long text, many times", "a: &a " + repeated("x", 500'000) + "\nb: [" + repeated("*a,", 1000) + "]"},
           Row{"anchors inside anchors", repeated("&a [", 200) + repeated("x,", 5'000) + repeated("]", 200)},
       }) {
    const std::size_t limit = 3 * row.text.size() + (1 << 20);
    std::string json_error, yaml_error;
    const std::size_t json_cost = peak_of([&] {
      const auto value = json::read(row.text);
      json_error = value ? "" : value.error().message();
    });
    const std::size_t yaml_cost = peak_of([&] {
      const auto value = yaml::read(row.text);
      yaml_error = value ? "" : value.error().message();
    });
    INFO(row.name << ": JSON " << json_error << " for " << json_cost << " bytes, YAML " << yaml_error << " for "
                  << yaml_cost << " bytes; limit " << limit);
    CHECK_FALSE(json_error.empty());
    CHECK_FALSE(yaml_error.empty());
    CHECK(json_cost < limit);
    CHECK(yaml_cost < limit);
  }
}

TEST_CASE("the densest documents are bounded by the number of values") {
  for (const std::string& text : {"[0" + repeated(",0", 1'000'000) + "]", "[[]" + repeated(",[]", 1'000'000) + "]",
                                  "{\"\":0" + repeated(",\"\":0", 500'000) + "}"}) {
    CAPTURE(text.substr(0, 10));
    const std::size_t cost = peak_of([&] { CHECK_FALSE(json::read(text)); });
    CHECK(cost < 20'000'000);
  }
}

TEST_CASE("written documents keep no room to grow") {
  for (const std::size_t size : {10U, 500U, 1100U, 5000U}) {
    CAPTURE(size);
    json::Value value;
    value["text"] = std::string(size, 'x');
    const std::string text = json::write(value);
    CHECK(text.capacity() <= std::max<std::size_t>(text.size() + 16, 15));
  }
}
