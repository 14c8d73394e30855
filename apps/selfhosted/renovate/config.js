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
      matchStrings: ["imageName: (?<depName>[^:\\s]+):(?<currentValue>[^\\s@]+)(?:@(?<currentDigest>sha256:[0-9a-f]{64}))?"],
      datasourceTemplate: "docker",
    },
    { // remote bases: the commit and the version behind it, or a tag
      customType: "regex",
      managerFilePatterns: ["/^(apps|environments)/.+/kustomization\\.yaml$/"],
      matchStrings: [
        "https://github\\.com/(?<depName>[^/\\s]+/[^/\\s]+)\\S*[?&]ref=(?<currentDigest>[0-9a-f]{40}) # (?<currentValue>\\S+)",
        "https://github\\.com/(?<depName>[^/\\s]+/[^/\\s]+)\\S*&ref=(?<currentValue>v\\d\\S*)",
      ],
      datasourceTemplate: "github-tags",
    },
    { // a program of a release, with its checksum
      customType: "regex",
      managerFilePatterns: ["/^(apps|environments)/.+\\.yaml$/"],
      matchStrings: [
        "https://github\\.com/(?<depName>[^/\\s]+/[^/\\s]+)/releases/download/(?<currentValue>[^/\\s]+)/\\S+\\s+sha256: (?<currentDigest>[0-9a-f]{64})",
      ],
      datasourceTemplate: "github-release-attachments",
    },
  ],
};
