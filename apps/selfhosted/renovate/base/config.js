// This repository and no other, whatever else the token may write to. Its rules lie in it, in renovate.json.
module.exports = {
  platform: "github",
  repositories: [process.env.REPOSITORY.replace(/\.git$/, "").split(/[/:]/).slice(-2).join("/")],
  onboarding: false,
  requireConfig: "required",
};
