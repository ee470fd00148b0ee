package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// about is which program this is.
type about struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	System  string `json:"system"` // such as linux/amd64
}

func aboutThis() about {
	a := about{Version: "(devel)", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return a
	}
	if info.Main.Version != "" {
		a.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			a.Commit = s.Value
		}
	}
	return a
}

func versionCommand(u *ui) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := checkFormat(format); err != nil {
				return err
			}
			a := aboutThis()
			if format == "json" {
				return u.json(a)
			}
			u.row("assay", "%s", a.Version)
			if a.Commit != "" {
				u.row("commit", "%s", a.Commit)
			}
			u.row("go", "%s, %s", a.Go, a.System)
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text or json")
	return c
}
