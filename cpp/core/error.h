// The one error type of the native code. It is thrown, never printed; the border maps it to a typed
// JavaScript error (src/errors.ts has the same codes).
#pragma once
#include <stdexcept>
#include <string>

namespace sfr {

enum class ErrorCode { usage, data, shape, dtype, device, disposed, cancelled, internal };

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

/// The word that crosses the border; equals `ErrorCode` of src/errors.ts.
inline const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::usage:
      return "usage";
    case ErrorCode::data:
      return "data";
    case ErrorCode::shape:
      return "shape";
    case ErrorCode::dtype:
      return "dtype";
    case ErrorCode::device:
      return "device";
    case ErrorCode::disposed:
      return "disposed";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::internal:
      return "internal";
  }
  return "internal";
}

}  // namespace sfr
