import { testKillAndResume } from "./kill-and-resume.js";

testKillAndResume(3);
