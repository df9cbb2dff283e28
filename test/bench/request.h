// request.h: one HTTP request of a load.
#pragma once

#include <string>

#include "io/http.h"

namespace kayak::bench {

// With a JSON body, unless that is empty. Bytes of the answer's body. Errors: Internal (another status than `wanted`),
// TooLarge, those of the connection.
Task<Result<std::size_t>> send(io::HttpClient* client, std::string method, std::string path, std::string body,
                               int wanted);

}  // namespace kayak::bench
