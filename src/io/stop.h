// stop.h: cooperative cancellation on one loop: a source fires once, tokens see it, callbacks run at that moment.
// Loop thread only. std::stop_token is not used: it pays for atomics and cannot be linked to a parent.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <utility>

namespace kayak::io {

class StopToken;

namespace detail {
struct StopState {
  bool stopped = false;
  std::list<std::function<void()>> callbacks;
};
}  // namespace detail

// Runs `callback` when the token's source fires, or at once when it has. Removes itself on destruction.
class StopCallback {
 public:
  StopCallback() = default;
  StopCallback(const StopToken& token, std::function<void()> callback);
  StopCallback(StopCallback&& other) noexcept : state_(std::move(other.state_)), place_(other.place_) {
    other.state_.reset();
  }
  StopCallback& operator=(StopCallback&& other) noexcept {
    if (this != &other) {
      reset();
      state_ = std::move(other.state_);
      place_ = other.place_;
      other.state_.reset();
    }
    return *this;
  }
  ~StopCallback() { reset(); }
  void reset();

 private:
  std::shared_ptr<detail::StopState> state_;
  std::list<std::function<void()>>::iterator place_;
};

class StopToken {
 public:
  StopToken() = default;  // never stops
  bool stopped() const { return state_ && state_->stopped; }

 private:
  friend class StopSource;
  friend class StopCallback;
  explicit StopToken(std::shared_ptr<detail::StopState> state) : state_(std::move(state)) {}
  std::shared_ptr<detail::StopState> state_;
};

class StopSource {
 public:
  StopSource() : state_(std::make_shared<detail::StopState>()) {}
  // Fires when `parent` does, too.
  explicit StopSource(const StopToken& parent);
  StopSource(StopSource&&) = default;
  StopSource& operator=(StopSource&&) = default;
  StopToken token() const { return StopToken(state_); }
  bool stopped() const { return state_->stopped; }
  void stop();  // idempotent; runs the callbacks before it returns

 private:
  std::shared_ptr<detail::StopState> state_;
  StopCallback parent_;
};

}  // namespace kayak::io
