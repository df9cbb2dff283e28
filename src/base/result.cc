// result.cc: the words and codes of failed system calls.
#include "base/result.h"

#include <cerrno>
#include <cstring>

#include "base/strings.h"

namespace kayak {

namespace {
Code code_of_errno(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return Code::kNoSpace;
    case ENOENT:
      return Code::kNotFound;
    default:
      return Code::kIo;
  }
}
}  // namespace

Error error_from_errno(int error_number, std::string_view what) {
  const char* description = strerrordesc_np(error_number);  // unlike strerror, safe in every thread
  const char* name = strerrorname_np(error_number);
  std::string message = cat(what, what.empty() ? "" : ": ", description != nullptr ? description : "unknown error",
                            " (", name != nullptr ? std::string(name) : std::to_string(error_number), ")");
  return Error(code_of_errno(error_number), std::move(message));
}

}  // namespace kayak
