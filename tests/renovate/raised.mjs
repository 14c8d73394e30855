// Raises each pin alone in a copy of the tree, by Renovate's own code, and prints the pins of which something else changed.
// node raised.mjs RENOVATE/dist COPY PINS
import { readFileSync, writeFileSync } from "node:fs";

const [dist, copy, pins] = process.argv.slice(2);
const { GlobalConfig } = await import(`${dist}/config/global.js`);
const { doAutoReplace } = await import(`${dist}/workers/repository/update/branch/auto-replace.js`);
const { extractPackageFile, get } = await import(`${dist}/modules/manager/index.js`);
GlobalConfig.set({ localDir: copy });
const number = (found) => String(Number(found) + 1);
const next = (dep) => (dep.datasource === "github-runners" ? "22.04" : dep.currentValue?.replace(/\d+(?=\D*$)/, number));
const seen = (deps) => deps.map((one) => [one.depName, one.currentValue, one.currentDigest].join(" "));

const wrong = [];
for (const { manager, file, dep, index, config } of JSON.parse(readFileSync(pins, "utf8"))) {
  const path = `${copy}/${file}`;
  const before = readFileSync(path, "utf8");
  const newDigest = dep.currentDigest?.replace(/[0-9a-f]{40,}/, (hash) => "c".repeat(hash.length));
  const upgrade = { ...config, ...dep, manager, packageFile: file, depIndex: index, newValue: next(dep), newDigest };
  const update = get(manager, "updateDependency");
  let after;
  try {
    after = await (update ? update({ fileContent: before, upgrade }) : doAutoReplace(upgrade, before, false));
  } catch (error) {
    wrong.push({ file, name: dep.depName, error: error.message });
    continue;
  } finally {
    writeFileSync(path, before);
  }
  const [old, now] = [before.split("\n"), after.split("\n")];
  const lines = now.filter((line, number) => line !== old[number]);
  const expected = seen((await extractPackageFile(manager, before, file, config)).deps);
  expected[index] = [dep.depName, upgrade.newValue, newDigest].join(" ");
  const found = seen((await extractPackageFile(manager, after, file, config)).deps);
  const is_one = now.length === old.length && lines.length > 0 && lines.length <= (newDigest ? 2 : 1);
  if (!is_one || found.join() !== expected.join()) wrong.push({ file, name: dep.depName, lines });
}
console.log(JSON.stringify(wrong));
