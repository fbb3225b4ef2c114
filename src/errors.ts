/** What went wrong, as a word that programs can match. */
export type ErrorCode =
  | "usage" // a flag or setting is wrong
  | "data" // an input file or its content is wrong
  | "shape" // a tensor has another shape than the operation needs
  | "dtype" // a tensor has another element type than the operation needs
  | "device" // device or memory not available
  | "disposed" // a handle was used after dispose()
  | "cancelled" // stopped by the caller
  | "internal"; // a fault of this program

/**
 * Every error this package throws on purpose. The message is one sentence:
 * `<where>: expected <what> for <name>, received <value>; <cure>`.
 */
export class SfrError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A tensor's shape does not fit. */
export class ShapeError extends SfrError {
  constructor(message: string, options?: ErrorOptions) {
    super("shape", message, options);
  }
}

/** A tensor's element type does not fit. */
export class DtypeError extends SfrError {
  constructor(message: string, options?: ErrorOptions) {
    super("dtype", message, options);
  }
}

/** The device, or memory on it, is not available. */
export class DeviceError extends SfrError {
  constructor(message: string, options?: ErrorOptions) {
    super("device", message, options);
  }
}

/** An input file, or what it holds, is wrong. */
export class DataError extends SfrError {
  constructor(message: string, options?: ErrorOptions) {
    super("data", message, options);
  }
}

/** A setting or command-line flag is wrong. */
export class UsageError extends SfrError {
  constructor(message: string, options?: ErrorOptions) {
    super("usage", message, options);
  }
}

/** A handle was used after it was disposed. */
export class DisposedError extends SfrError {
  constructor(message: string, options?: ErrorOptions) {
    super("disposed", message, options);
  }
}

/** The work was stopped on request; the state is that of the last whole step. */
export class CancelledError extends SfrError {
  constructor(message: string, options?: ErrorOptions) {
    super("cancelled", message, options);
  }
}
