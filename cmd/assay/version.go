package main

import (
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand(u *ui) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version, commit := "(devel)", ""
			if info, ok := debug.ReadBuildInfo(); ok {
				if info.Main.Version != "" {
					version = info.Main.Version
				}
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						commit = s.Value
					}
				}
				u.row("go", "%s", info.GoVersion)
			}
			u.row("assay", "%s", version)
			if commit != "" {
				u.row("commit", "%s", commit)
			}
			return nil
		},
	}
}
