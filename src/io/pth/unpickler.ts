import { DataError } from "../../errors.js";
import {
  type GlobalName,
  isGlobal,
  isSize,
  isStorage,
  isTensor,
  isTuple,
  type PickleValue,
  type StorageReference,
  type TensorReference,
} from "./pickle-values.js";
import { dtypeOfStorage } from "./storage-types.js";

type Stack = (PickleValue | typeof mark)[];

const mark = Symbol("mark");

const storageTypes = new Set([...dtypeOfStorage.keys()].map((name) => `torch.${name}`));
const orderedDict = "collections.OrderedDict";
const rebuildTensor = "torch._utils._rebuild_tensor_v2";
const rebuildParameter = "torch._utils._rebuild_parameter";
const knownGlobals = new Set([...storageTypes, orderedDict, rebuildTensor, rebuildParameter]);

/**
 * Most opcodes that are followed: one byte of a pickle can ask for a container of a hundred bytes. The pickle of a SAM
 * ViT-H has about 25 000, that of its training with AdamW three times as many.
 */
const maxOpcodes = 1_000_000;

/**
 * Reads a pickle as torch.save writes it (protocol 2) without running anything: only the opcodes of plain data
 * exist, and the only callables are those that put tensors and ordered dicts together, re-implemented here.
 *
 * @param path names the file in errors
 * @returns the root object
 * @throws DataError for any other opcode or global, naming it, and for a malformed stream
 */
export function unpickle(bytes: Uint8Array, path: string): PickleValue {
  return new Unpickler(bytes, path).run();
}

class Unpickler {
  private position = 0;
  private readonly view: DataView;
  private readonly stack: Stack = [];
  private readonly memo = new Map<number, PickleValue>();

  constructor(
    private readonly bytes: Uint8Array,
    private readonly path: string,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): PickleValue {
    for (let count = 0; count < maxOpcodes; count += 1) {
      const opcode = this.byte();
      if (opcode === 0x2e) {
        return this.pop();
      }
      if (!this.scalar(opcode) && !this.container(opcode) && !this.object(opcode)) {
        throw this.bad("plain data (pickle protocol 2)", `opcode 0x${opcode.toString(16)}`);
      }
    }
    throw this.bad(`at most ${maxOpcodes} opcodes`, "more");
  }

  /** Numbers, texts and the memo. */
  private scalar(opcode: number): boolean {
    switch (opcode) {
      case 0x80: // PROTO
        if (this.byte() !== 2) {
          throw this.bad("pickle protocol 2", `protocol ${this.bytes[this.position - 1]}`);
        }
        return true;
      case 0x4e: // NONE
        return this.push(null);
      case 0x88: // NEWTRUE
        return this.push(true);
      case 0x89: // NEWFALSE
        return this.push(false);
      case 0x4a: // BININT
        return this.push(this.view.getInt32(this.take(4), true));
      case 0x4b: // BININT1
        return this.push(this.byte());
      case 0x4d: // BININT2
        return this.push(this.view.getUint16(this.take(2), true));
      case 0x8a: // LONG1
        return this.push(this.long(this.byte()));
      case 0x47: // BINFLOAT
        return this.push(this.view.getFloat64(this.take(8), false));
      case 0x58: // BINUNICODE
        return this.push(this.text(this.view.getUint32(this.take(4), true)));
      case 0x71: // BINPUT
        return this.remember(this.byte());
      case 0x72: // LONG_BINPUT
        return this.remember(this.view.getUint32(this.take(4), true));
      case 0x68: // BINGET
        return this.push(this.recall(this.byte()));
      case 0x6a: // LONG_BINGET
        return this.push(this.recall(this.view.getUint32(this.take(4), true)));
      default:
        return false;
    }
  }

  /** Tuples, lists and dicts. */
  private container(opcode: number): boolean {
    switch (opcode) {
      case 0x28: // MARK
        this.stack.push(mark);
        return true;
      case 0x29: // EMPTY_TUPLE
        return this.push({ kind: "tuple", items: [] });
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return this.push({ kind: "tuple", items: this.popSeveral(opcode - 0x84) });
      case 0x74: // TUPLE
        return this.push({ kind: "tuple", items: this.popToMark() });
      case 0x5d: // EMPTY_LIST
        return this.push([]);
      case 0x61: // APPEND
        return this.append(this.popSeveral(1));
      case 0x65: // APPENDS
        return this.append(this.popToMark());
      case 0x7d: // EMPTY_DICT
        return this.push(new Map());
      case 0x73: // SETITEM
        return this.setItems(this.popSeveral(2));
      case 0x75: // SETITEMS
        return this.setItems(this.popToMark());
      default:
        return false;
    }
  }

  /** Globals and what is made of them. */
  private object(opcode: number): boolean {
    switch (opcode) {
      case 0x63: // GLOBAL
        return this.push(this.global(`${this.line()}.${this.line()}`));
      case 0x51: // BINPERSID
        return this.push(this.storage(this.pop()));
      case 0x52: {
        // REDUCE
        const [callee = null, argument = null] = this.popSeveral(2);
        return this.push(this.reduce(callee, argument));
      }
      case 0x62: {
        // BUILD: attributes of an ordered dict (a module's version numbers), which nothing here needs.
        const [target = null] = this.popSeveral(2);
        if (!(target instanceof Map)) {
          throw this.bad("attributes of an OrderedDict only", "those of another object");
        }
        return this.push(target);
      }
      default:
        return false;
    }
  }

  private global(name: string): GlobalName {
    if (!knownGlobals.has(name)) {
      throw this.bad("tensors, numbers, texts, lists and dicts", `an object of ${name}`);
    }
    return { kind: "global", name };
  }

  private storage(id: PickleValue): StorageReference {
    const [tag, type, key, , count] = isTuple(id) ? id.items : [];
    if (tag !== "storage" || !isGlobal(type) || typeof key !== "string" || !isSize(count)) {
      throw this.bad("a storage (type, key, location, count)", "another persistent id");
    }
    if (!storageTypes.has(type.name)) {
      throw this.bad("a torch storage type", type.name);
    }
    return { kind: "storage", type: type.name.slice("torch.".length), key, count };
  }

  private reduce(callee: PickleValue, argument: PickleValue): PickleValue {
    const items = isTuple(argument) ? argument.items : [];
    switch (isGlobal(callee) ? callee.name : "") {
      case orderedDict:
        if (items.length !== 0) {
          throw this.bad("an OrderedDict() without arguments", `${items.length} arguments`);
        }
        return new Map();
      case rebuildParameter:
        if (!isTensor(items[0])) {
          throw this.bad("a tensor inside a parameter", "something else");
        }
        return items[0];
      case rebuildTensor:
        return this.tensor(items);
      default:
        throw this.bad("a call of a known global", "a call of something else");
    }
  }

  private tensor(items: readonly PickleValue[]): TensorReference {
    const [storage, offset, size, stride] = items;
    const shape = isTuple(size) ? size.items.filter(isSize) : [];
    const strides = isTuple(stride) ? stride.items.filter(isSize) : [];
    if (!isStorage(storage) || !isSize(offset) || !isTuple(size) || !isTuple(stride)) {
      throw this.bad("_rebuild_tensor_v2(storage, offset, size, stride, ...)", "other arguments");
    }
    if (shape.length !== size.items.length || strides.length !== stride.items.length) {
      throw this.bad("whole numbers as size and stride of a tensor", "something else");
    }
    if (shape.length !== strides.length) {
      throw this.bad(`${shape.length} strides for a tensor`, `${strides.length}`);
    }
    return { kind: "tensor", storage, offset, shape, strides };
  }

  private push(value: PickleValue): true {
    this.stack.push(value);
    return true;
  }

  private pop(): PickleValue {
    const value = this.stack.pop();
    if (value === undefined || value === mark) {
      throw this.bad("a value on the stack", "none");
    }
    return value;
  }

  private popSeveral(count: number): PickleValue[] {
    const values: PickleValue[] = [];
    for (let i = 0; i < count; i += 1) {
      values.unshift(this.pop());
    }
    return values;
  }

  private popToMark(): PickleValue[] {
    const values: PickleValue[] = [];
    for (let value = this.stack.pop(); value !== mark; value = this.stack.pop()) {
      if (value === undefined) {
        throw this.bad("a mark on the stack", "none");
      }
      values.push(value);
    }
    return values.reverse();
  }

  private top(): PickleValue {
    const value = this.stack.at(-1);
    if (value === undefined || value === mark) {
      throw this.bad("a value on the stack", "none");
    }
    return value;
  }

  private append(values: readonly PickleValue[]): true {
    const list = this.top();
    if (!Array.isArray(list)) {
      throw this.bad("a list to append to", "something else");
    }
    for (const value of values) {
      list.push(value);
    }
    return true;
  }

  private setItems(values: readonly PickleValue[]): true {
    const dict = this.top();
    if (!(dict instanceof Map) || values.length % 2 !== 0) {
      throw this.bad("a dict and pairs to put into it", "something else");
    }
    for (let i = 0; i < values.length; i += 2) {
      dict.set(values[i] ?? null, values[i + 1] ?? null);
    }
    return true;
  }

  private remember(index: number): true {
    this.memo.set(index, this.top());
    return true;
  }

  private recall(index: number): PickleValue {
    const value = this.memo.get(index);
    if (value === undefined) {
      throw this.bad(`an object under memo ${index}`, "none");
    }
    return value;
  }

  private byte(): number {
    return this.view.getUint8(this.take(1));
  }

  /** Moves on by `count` bytes and returns where they start. */
  private take(count: number): number {
    const start = this.position;
    if (count > this.bytes.length - start) {
      throw this.bad(`${count} more bytes`, `${this.bytes.length - start}`);
    }
    this.position += count;
    return start;
  }

  private text(length: number): string {
    const start = this.take(length);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
        this.bytes.subarray(start, start + length),
      );
    } catch {
      throw this.bad("UTF-8 text", "other bytes");
    }
  }

  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.position);
    if (end < 0 || end - this.position > 200) {
      throw this.bad("a name that ends with its line", "none");
    }
    const start = this.take(end + 1 - this.position);
    return String.fromCharCode(...this.bytes.subarray(start, end));
  }

  /** Little-endian two's complement integer; a number when it is a safe one. */
  private long(length: number): number | bigint {
    const start = this.take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i -= 1) {
      value = (value << 8n) | BigInt(this.bytes[start + i] ?? 0);
    }
    value = BigInt.asIntN(length * 8, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  private bad(expected: string, received: string): DataError {
    return new DataError(
      `pth: expected ${expected} in ${this.path}, received ${received} at byte ${this.position} of its pickle; ` +
        "this reader runs no code: save the state dict alone with torch.save(model.state_dict(), path)",
    );
  }
}
