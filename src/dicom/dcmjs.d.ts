/** The part of dcmjs that is used; the package has no types. */
declare module "dcmjs" {
  /** Elements by tag of eight hexadecimal digits. */
  type Elements = Readonly<Record<string, unknown>>;

  const dcmjs: {
    readonly log: { getLogger(name: string): { setLevel(level: "silent"): void } };
    readonly data: {
      readonly DicomMessage: {
        /** @throws Error for damaged files */
        readFile(
          file: ArrayBuffer,
          options?: { untilTag?: string; ignoreErrors?: boolean },
        ): { readonly meta: Elements; readonly dict: Elements };
      };
      readonly DicomMetaDictionary: {
        /** Elements by their names: numbers and texts, lists of them, and records for sequences. */
        naturalizeDataset(elements: Elements): Readonly<Record<string, unknown>>;
        denaturalizeDataset(named: Readonly<Record<string, unknown>>): Elements;
      };
      readonly DicomDict: new (meta: Elements) => { dict: Elements; write(): ArrayBuffer };
    };
  };
  export default dcmjs;
}
