package main

import (
	"io"

	"github.com/spf13/cobra"

	"assay/internal/assess"
	"assay/internal/bom"
	"assay/internal/system"
)

func bomCommand(u *ui) *cobra.Command {
	var format, out string
	c := &cobra.Command{
		Use:   "bom [FOLDER | assay.yaml]",
		Short: "Write what a system is made of: models, data, licences, digests, suppliers",
		Long: `Write what a system is made of: models, data, licences, digests, suppliers.

The bill of materials is a CycloneDX 1.6 ML-BOM with a card for each model (cyclonedx), or SPDX 3.0.1
with its profiles for AI and datasets (spdx). It says what the description and the files tell: state
licences and suppliers there. SOURCE_DATE_EPOCH sets its time, so that the same files give the same bytes.`,
		Example: `  assay bom examples/digits --format cyclonedx -o digits.cdx.json
  assay bom examples/digits --format spdx`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := description(args)
			s, err := system.Open(path)
			if err != nil {
				return err
			}
			inv, err := bom.Take(s, assess.Digest, "assay", aboutThis().Version, clock())
			if err != nil {
				return err
			}
			write := map[string]func(io.Writer) error{"cyclonedx": inv.CycloneDX, "spdx": inv.SPDX}[format]
			if write == nil {
				return usagef("--format %s: use cyclonedx or spdx", format)
			}
			if out == "-" {
				return write(u.streams.Out)
			}
			return writeWhole(out, write)
		},
	}
	c.Flags().StringVar(&format, "format", "cyclonedx", "cyclonedx or spdx")
	c.Flags().StringVarP(&out, "out", "o", "-", "the file to write, - for the output")
	return c
}
