// challenge.h: what a registry's WWW-Authenticate header asks for. Pure.
// Source: RFC 9110 11.3; Docker token authentication.
#pragma once

#include <string>
#include <string_view>

namespace kayak::agent {

// The value of `key` among a challenge's `key="value"` pairs (the scheme cut off), "" without it. Quotes may hold
// commas.
std::string challenge_parameter(std::string_view challenge, std::string_view key);

}  // namespace kayak::agent
