// option_checks.h: what the values of options must be, alone and together. Pure. Each check returns "" or what is
// wrong: of one value as the end of a sentence that begins with it, of several as a whole one.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/options.h"
#include "io/stream.h"

namespace kayak::cli {

std::string check_ip(const std::string& text);
std::string check_cidr(const std::string& text);
std::string check_node_name(const std::string& text);
std::string check_absolute(const std::string& text);
std::string check_label(const std::string& text);
std::string check_taint(const std::string& text);
std::string check_log_level(const std::string& text);
std::string check_listen(const std::string& text);
std::string check_runtime(const std::string& text);
std::string check_datastore(const std::string& text);
std::string check_server_url(const std::string& text);
std::string check_peer_address(const std::string& text);
std::string check_schedule(const std::string& text);

// "127.0.0.1:2379" or "[::1]:2379". Errors: Invalid.
Result<io::Endpoint> parse_listen_address(std::string_view text);

// What only makes sense, or not, together.
std::string check_together(const ServerOptions& options);

}  // namespace kayak::cli
