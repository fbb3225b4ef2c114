/** An ONNX model in memory, and its bytes: field numbers of onnx.proto (IR version 9, that of operator set 20). */
import { type LateBytes, Message } from "./protobuf.js";

/** Value of a node's attribute. */
export type OnnxAttribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly ints: readonly number[] }
  | { readonly text: string };

export interface OnnxNode {
  readonly op: string;
  readonly name: string;
  /** "" stands for an absent optional input. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

/** A constant tensor; its bytes are little-endian, the last axis the fastest. */
export interface OnnxConstant {
  readonly name: string;
  readonly dtype: "f32" | "i64";
  readonly shape: readonly number[];
  readonly data: LateBytes;
}

/** An input or output, f32; a text stands for an extent that is only known when the model runs. */
export interface OnnxPort {
  readonly name: string;
  readonly shape: readonly (number | string)[];
  readonly help: string;
}

export interface OnnxModel {
  readonly name: string;
  readonly producer: { readonly name: string; readonly version: string };
  readonly help: string;
  /** Version of ONNX's own operator set, the only one. */
  readonly opset: number;
  readonly nodes: readonly OnnxNode[];
  readonly constants: readonly OnnxConstant[];
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
  /** Free text by key. */
  readonly metadata: Readonly<Record<string, string>>;
}

const irVersion = 9;
const elementType = { f32: 1, i64: 7 } as const;
const externalLocation = 1;

/** Where the bytes of a constant lie in a file beside the model. */
interface Place {
  readonly file: string;
  readonly offset: number;
}

/** A model's bytes: the file itself, and what lies beside it. */
export interface EncodedModel {
  readonly model: Iterable<Uint8Array>;
  /** Absent when all constants stand in the model. */
  readonly data?: Iterable<Uint8Array>;
}

/** Constants from this count of bytes on go to the file beside the model; shape arithmetic needs the small ones at hand. */
const leastExternal = 1024;
/** Constants in the file beside the model begin at multiples of so many bytes, for readers that map them. */
const alignment = 64;

/**
 * Encodes a model.
 *
 * @param largest bytes that the constants may have for all to stand in the model: protobuf ends at 2 GiB
 * @param dataFile name of the file that takes them otherwise, in the folder of the model
 */
export function encodeModel(model: OnnxModel, dataFile: string, largest = 2 ** 31 - 2 ** 26): EncodedModel {
  const total = model.constants.reduce((sum, { data }) => sum + data.length, 0);
  if (total <= largest) return { model: modelMessage(model, new Map()).encoded() };
  const places = new Map<OnnxConstant, Place>();
  let offset = 0;
  for (const constant of model.constants) {
    if (constant.data.length < leastExternal) continue;
    places.set(constant, { file: dataFile, offset });
    offset += aligned(constant.data.length);
  }
  return { model: modelMessage(model, places).encoded(), data: externalData([...places.keys()]) };
}

const aligned = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

function* externalData(constants: readonly OnnxConstant[]): Iterable<Uint8Array> {
  for (const { data } of constants) {
    yield data.make();
    yield new Uint8Array(aligned(data.length) - data.length);
  }
}

function modelMessage(model: OnnxModel, places: ReadonlyMap<OnnxConstant, Place>): Message {
  const graph = new Message();
  for (const node of model.nodes) graph.message(1, nodeMessage(node));
  graph.text(2, model.name);
  for (const constant of model.constants) graph.message(5, tensorMessage(constant, places.get(constant)));
  for (const port of model.inputs) graph.message(11, portMessage(port));
  for (const port of model.outputs) graph.message(12, portMessage(port));
  const message = new Message()
    .integer(1, irVersion)
    .text(2, model.producer.name)
    .text(3, model.producer.version)
    .text(6, model.help)
    .message(7, graph);
  message.message(8, new Message().text(1, "").integer(2, model.opset));
  for (const [key, value] of Object.entries(model.metadata)) message.message(14, pair(key, value));
  return message;
}

const pair = (key: string, value: string): Message => new Message().text(1, key).text(2, value);

function nodeMessage(node: OnnxNode): Message {
  const message = new Message();
  for (const name of node.inputs) message.text(1, name);
  for (const name of node.outputs) message.text(2, name);
  message.text(3, node.name).text(4, node.op);
  for (const [name, value] of Object.entries(node.attributes)) message.message(5, attribute(name, value));
  return message;
}

function attribute(name: string, value: OnnxAttribute): Message {
  const message = new Message().text(1, name);
  if ("int" in value) return message.integer(3, value.int).integer(20, 2);
  if ("float" in value) return message.float(2, value.float).integer(20, 1);
  if ("text" in value) return message.text(4, value.text).integer(20, 3);
  for (const item of value.ints) message.integer(8, item);
  return message.integer(20, 7);
}

function tensorMessage({ name, dtype, shape, data }: OnnxConstant, place: Place | undefined): Message {
  const message = new Message();
  for (const extent of shape) message.integer(1, extent);
  message.integer(2, elementType[dtype]).text(8, name);
  if (place === undefined) return message.bytes(9, data);
  return message
    .message(13, pair("location", place.file))
    .message(13, pair("offset", String(place.offset)))
    .message(13, pair("length", String(data.length)))
    .integer(14, externalLocation);
}

function portMessage({ name, shape, help }: OnnxPort): Message {
  const extents = new Message();
  for (const extent of shape)
    extents.message(
      1,
      typeof extent === "number" ? new Message().integer(1, extent) : new Message().text(2, extent),
    );
  const tensor = new Message().integer(1, elementType.f32).message(2, extents);
  return new Message().text(1, name).message(2, new Message().message(1, tensor)).text(3, help);
}
