// event_ttl.h: Events leave an hour after their last write, without a timer for each.
#pragma once

#include "api/server_parts.h"

namespace kayak::api {

// Once a minute notes which revision is how old, and deletes events below the revision of an hour ago. Ends by `stop`.
Task<Result<void>> expire_events(ServerParts& parts, StopToken stop);

}  // namespace kayak::api
