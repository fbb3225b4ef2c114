// Writes the generated reference pages: node dist/test/config/write-reference.js
import { writeFileSync } from "node:fs";
import { referencePages, repository } from "./reference-pages.js";

for (const [path, page] of Object.entries(referencePages)) writeFileSync(new URL(path, repository), page());
