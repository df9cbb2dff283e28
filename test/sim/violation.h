// violation.h: what is thrown when a promise is broken. The message says which.
#pragma once

#include <stdexcept>

namespace kayak::sim {

class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace kayak::sim
