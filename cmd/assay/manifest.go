package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"assay"
	"assay/internal/gate"
	"assay/internal/origin"
	"assay/internal/provenance"
)

// manifestFlags are those of assay manifest.
type manifestFlags struct {
	key, chain, labelFile, out string
	batch                      origin.Batch
}

func manifestCommand(u *ui) *cobra.Command {
	f := &manifestFlags{}
	c := &cobra.Command{
		Use:   "manifest DATA... --key KEY --source NAME --date DATE",
		Short: "Vouch for where the records of data come from, so that others can tell of each whether it is one of them",
		Long: `Vouch for where the records of data come from, so that others can tell of each whether it is one of them.

Each file of data, or folder of images, is a batch and gets a signed manifest: its source,
date and licence, and a digest of each file and each record. From then on assay manifest
verify, assay gate and assay train tell which records were changed, added or removed.

In a table each record may name its own source (--source-column). Every record must be
readable and have one: nobody can vouch for another.`,
		Example: `  assay manifest monday.csv --key north.pem --source north --date 2026-01-05 --licence CC-BY-4.0
  assay manifest verify monday.csv tuesday.csv --key north.pub.pem --key south.pub.pem --allow-source north=0.6 --allow-source south=0.6`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c.Context(), u, args) },
	}
	s := c.Flags()
	s.StringVar(&f.key, "key", "", "the private key that signs, in PEM")
	s.StringVar(&f.chain, "cert", "", "the key's certificate and those above it but for the root, in PEM")
	s.StringVar(&f.batch.Source, "source", "", "the source of all records")
	s.StringVar(&f.batch.SourceColumn, "source-column", "", "the column of a table that names each record's source")
	s.StringVar(&f.batch.Date, "date", "", "the day on which the batch was taken over, such as 2026-01-05")
	s.StringVar(&f.batch.Licence, "licence", "", "the licence, such as an SPDX expression, where it is known")
	s.StringVar(&f.batch.Name, "batch", "", "a name for the batch (that of the file)")
	s.StringVar(&f.labelFile, "label-file", "", "a file of labels beside the data (IDX or NPY)")
	s.StringVar(&f.out, "out", "", "the file to write, where there is one DATA (DATA.manifest)")
	c.MarkFlagRequired("key")
	c.MarkFlagRequired("date")
	c.AddCommand(manifestVerifyCommand(u))
	return c
}

func (f *manifestFlags) run(ctx context.Context, u *ui, paths []string) error {
	if len(paths) > 1 && (f.out != "" || f.labelFile != "" || f.batch.Name != "") {
		return usagef("--out, --label-file and --batch are for one batch, and there are %d: vouch for them one by one", len(paths))
	}
	by, err := signer(f.key, f.chain)
	if err != nil {
		return err
	}
	for _, path := range paths {
		data := origin.Data{Path: path, LabelFile: f.labelFile, Manifest: manifestOf(path, f.out)}
		b := f.batch
		if b.Name == "" {
			b.Name = filepath.Base(path)
		}
		if err := b.Validate(); err != nil {
			return assay.WithCode(assay.CodeUsage, err)
		}
		var m *origin.Manifest
		err := writeWhole(data.Manifest, func(w io.Writer) (err error) {
			m, err = origin.Sign(ctx, data, b, by, w)
			return err
		})
		if err != nil {
			return err
		}
		u.row("signed", "%s: %d records, from %s", path, m.Records, sourceText(m.Batch))
		u.row("manifest", "%s", data.Manifest)
	}
	u.row("key", "%s", by.Key.Public().ID())
	return nil
}

// manifestOf is where the manifest of a path lies, unless its user says otherwise.
func manifestOf(path, given string) string {
	if given != "" {
		return given
	}
	return origin.ManifestOf(path)
}

func sourceText(b origin.Batch) string {
	if b.SourceColumn != "" {
		return fmt.Sprintf("the sources in the column %q", b.SourceColumn)
	}
	return b.Source
}

// vouched says whose manifests count, and which sources are allowed.
type vouched struct {
	keys, certs, roots []string
	identity, manifest string
	allowed            []string
}

// read reads whose manifests count.
func (f *vouched) read() (provenance.Trust, map[string]float64, error) {
	allowed, err := gate.ReadLimits(f.allowed)
	if err != nil {
		return provenance.Trust{}, nil, assay.WithCode(assay.CodeUsage, err)
	}
	trust, err := provenance.ReadTrust(f.keys, f.certs, f.roots, f.identity, clock())
	return trust, allowed, err
}

const allowUsage = "a source that is allowed, and the largest part of the records that it may give: NAME=0.5 (any source)"

// demanded declares the flags by which another command demands manifests.
func (f *vouched) demanded(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.keys, "provenance", nil, "demand that each record is one for which a manifest vouches that is signed by one of these public keys, in PEM")
	c.Flags().StringVar(&f.manifest, "manifest", "", "the manifest of the data (DATA.manifest)")
}

// demand verifies the origin of some data, where that is asked for: nil where it is not. Limits are of the sources, where
// --allow-source does not give them.
func (f *vouched) demand(ctx context.Context, path, labelFile string, limits map[string]float64) (*origin.Report, error) {
	if len(f.keys) == 0 {
		if f.manifest != "" || len(f.allowed) > 0 {
			return nil, usagef("--manifest and --allow-source are for --provenance: say by whose keys manifests are to be signed")
		}
		return nil, nil
	}
	trust, allowed, err := f.read()
	if err != nil {
		return nil, err
	}
	if allowed == nil {
		allowed = limits
	}
	return origin.Verify(ctx, []origin.Data{{Path: path, LabelFile: labelFile, Manifest: manifestOf(path, f.manifest)}}, trust, allowed)
}

// originText says what was verified.
func originText(r *origin.Report) string {
	text := fmt.Sprintf("%d of %d records (%s) are as somebody trusted vouches for", r.Verified, r.Records, percent(float64(r.Verified)/float64(max(r.Records, 1))))
	if r.Wrong > 0 {
		text += fmt.Sprintf("; faults: %d, the first: %s", r.Wrong, r.Faults[0])
	}
	return text
}

// verifyManifestFlags are those of assay manifest verify.
type verifyManifestFlags struct {
	vouched
	labelFile, format string
}

func manifestVerifyCommand(u *ui) *cobra.Command {
	f := &verifyManifestFlags{}
	c := &cobra.Command{
		Use:   "verify DATA... --key KEY",
		Short: "Tell of each record whether somebody trusted vouches for where it comes from",
		Long: `Tell of each record whether somebody trusted vouches for where it comes from.

All batches of the data are given, each with its manifest beside it. The share of records
whose origin is verified is that of all of them, and so are the shares of the sources. Every
record that was changed, added or removed is named, with its file and number. Records are
compared in their order: those that were moved are changed.

Who is trusted is believed about the source of what they sign. Exit codes: 0 every record
has a verified origin, and the sources keep to their shares; 1 something is not so.`,
		Example: "  assay manifest verify monday.csv tuesday.csv --key north.pub.pem --allow-source north=1",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return f.run(c.Context(), u, args) },
	}
	s := c.Flags()
	s.StringSliceVar(&f.keys, "key", nil, "public keys that are trusted, in PEM")
	s.StringSliceVar(&f.certs, "cert", nil, "certificates whose keys are trusted, in PEM")
	s.StringSliceVar(&f.roots, "roots", nil, "certificates of authorities that are trusted, in PEM")
	s.StringVar(&f.identity, "identity", "", "whose certificate it must be: its common name, or an address, host name or URI in it")
	s.StringSliceVar(&f.allowed, "allow-source", nil, allowUsage)
	s.StringVar(&f.manifest, "manifest", "", "the manifest, where there is one DATA (DATA.manifest)")
	s.StringVar(&f.labelFile, "label-file", "", "a file of labels beside the data (IDX or NPY)")
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
	return c
}

func (f *verifyManifestFlags) run(ctx context.Context, u *ui, paths []string) error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	if len(paths) > 1 && (f.manifest != "" || f.labelFile != "") {
		return usagef("--manifest and --label-file are for one batch, and there are %d", len(paths))
	}
	if len(f.keys)+len(f.certs)+len(f.roots) == 0 {
		return usagef("nobody is trusted, so no manifest could count: give --key, --cert or --roots")
	}
	trust, allowed, err := f.read()
	if err != nil {
		return err
	}
	var batches []origin.Data
	for _, path := range paths {
		batches = append(batches, origin.Data{Path: path, LabelFile: f.labelFile, Manifest: manifestOf(path, f.manifest)})
	}
	r, err := origin.Verify(ctx, batches, trust, allowed)
	if err != nil {
		return err
	}
	if f.format == "json" {
		err = u.json(r)
	} else {
		u.verifiedOrigin(r)
	}
	if err == nil && r.Wrong > 0 {
		return errFailed
	}
	return err
}

// verifiedOrigin prints what is known of the records' origin.
func (u *ui) verifiedOrigin(r *origin.Report) {
	const shown = 20
	for _, fault := range r.Faults[:min(shown, len(r.Faults))] {
		u.row(string(fault.Kind), "%s", fault)
	}
	if r.Wrong > shown {
		u.row("", "and %d more (--format json has up to a thousand)", r.Wrong-shown)
	}
	for _, b := range r.Batches {
		text := fmt.Sprintf("%s: %d of %d records", b.Path, b.Verified, b.Records)
		if b.Signed != nil {
			text += fmt.Sprintf("; %s of %s, by %s", b.Signed.Name, b.Signed.Date, b.Signer)
			if b.Signed.Licence != "" {
				text += ", licence " + b.Signed.Licence
			}
		}
		u.row("batch", "%s", text)
	}
	for _, s := range r.Shares {
		name, limit := s.Source, ""
		if strings.TrimSpace(name) == "" {
			name = "(not verified)"
		}
		if s.Allowed {
			limit = fmt.Sprintf(", of %s at most", percent(s.Limit))
		}
		u.row("source", "%s: %d records, %s%s", name, s.Records, percent(s.Part), limit)
	}
	u.row("verified", "%d of %d records (%s) have a verified origin", r.Verified, r.Records, percent(float64(r.Verified)/float64(max(r.Records, 1))))
}
