// Prints the settings that Renovate's own code applies to each update of a file.
// node applied.mjs RENOVATE/dist CONFIG UPDATES
import { readFileSync } from "node:fs";

const [dist, config, updates] = process.argv.slice(2);
const { resolveConfigPresets } = await import(`${dist}/config/presets/index.js`);
const { mergeChildConfig } = await import(`${dist}/config/utils.js`);
const { applyPackageRules } = await import(`${dist}/util/package-rules/index.js`);
const read = (file) => JSON.parse(readFileSync(file, "utf8"));
const { config: resolved } = await resolveConfigPresets(read(config));
const keys = ["addLabels", "allowedVersions", "automerge", "dependencyDashboardApproval", "enabled", "groupName"];
const answer = [];
for (const update of read(updates)) {
  const applied = await applyPackageRules(mergeChildConfig({ enabled: true, addLabels: [], ...resolved }, update));
  answer.push(Object.fromEntries(keys.map((key) => [key, applied[key]])));
}
console.log(JSON.stringify(answer));
