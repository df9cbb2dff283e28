// fake_exchange.h: an HTTP exchange without a socket: what a handler sees, and what it answered.
#pragma once

#include <string>

#include "io/http.h"

namespace kayak::test {

class FakeExchange final : public io::HttpExchange {
 public:
  FakeExchange(std::string method, std::string target) {
    request_.method = std::move(method);
    const std::size_t mark = target.find('?');
    request_.path = target.substr(0, mark);
    if (mark != std::string::npos) request_.query = target.substr(mark + 1);
  }
  FakeExchange& as(std::string user, std::vector<std::string> groups) {
    io::CertificateInfo certificate;
    certificate.common_name = std::move(user);
    certificate.organizations = std::move(groups);
    request_.peer.certificate = std::move(certificate);
    return *this;
  }
  FakeExchange& header(std::string_view name, std::string_view value) {
    request_.headers.add(name, value);
    return *this;
  }
  FakeExchange& with_body(std::string content_type, std::string text) {
    request_.headers.add("Content-Type", content_type);
    body_.text = std::move(text);
    return *this;
  }

  io::HttpBody& body() override { return body_; }
  Task<Result<void>> send(int status, io::Headers headers, io::Slices body) override {
    sent_status = status;
    sent_headers = std::move(headers);
    append(body);
    finished = true;
    co_return Result<void>();
  }
  Task<Result<void>> start(int status, io::Headers headers) override {
    sent_status = status;
    sent_headers = std::move(headers);
    co_return Result<void>();
  }
  Task<Result<void>> write(io::Slices data) override {
    append(data);
    ++writes;
    written.set();
    if (stop_after_writes > 0 && writes >= stop_after_writes) gone_.stop();
    co_return Result<void>();
  }
  Task<Result<void>> finish() override {
    finished = true;
    co_return Result<void>();
  }
  StopToken gone() const override { return gone_.token(); }
  Task<Result<io::StreamPtr>> upgrade(io::Headers) override { co_return Error(Code::kBadRequest, "no upgrade here"); }

  void leave() { gone_.stop(); }  // the client goes away

  int sent_status = 0;
  io::Headers sent_headers;
  std::string sent_body;
  std::size_t writes = 0, stop_after_writes = 0;
  bool finished = false;
  io::Event written;

 private:
  struct Body final : io::HttpBody {
    std::string text;
    Task<Result<std::string>> read(StopToken) override { co_return std::exchange(text, std::string()); }
  };
  void append(const io::Slices& data) {
    for (const io::Slice& slice : data) sent_body.append(slice.bytes);
  }
  Body body_;
  io::StopSource gone_;
};

}  // namespace kayak::test
