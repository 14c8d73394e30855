// This repository and no other, whatever else the token may write to.
module.exports = {
  platform: "github",
  repositories: [process.env.REPOSITORY.replace(/\.git$/, "").split(/[/:]/).slice(-2).join("/")],
  onboarding: false,
  requireConfig: "optional",
  extends: ["config:recommended", ":dependencyDashboard"],
  kubernetes: {managerFilePatterns: ["/^apps/.+\\.yaml$/", "/^environments/.+\\.yaml$/"]},
  customManagers: [
    { // databases of CloudNativePG
      customType: "regex",
      managerFilePatterns: ["/^apps/.+\\.yaml$/"],
      matchStrings: ["imageName: (?<depName>[^:\\s]+):(?<currentValue>\\S+)"],
      datasourceTemplate: "docker",
    },
  ],
};
