// Package origin tells of the records of a dataset where they come from. Whoever hands on a batch of records signs a
// provenance manifest for it: its source, date and licence, and a digest of each file and each record. From then on it can be told
// of every record whether it is one that somebody trusted vouches for, and which records were changed, added or removed.
//
// A manifest is one line and then digests. The line is a Sigstore bundle, as internal/provenance has them for files, with an
// in-toto statement of what is in [Manifest]. Behind it come the digests of the records in their order, 32 bytes each, whose own digest the
// statement has. So ten million records take 320 MB on disk, and hardly any memory: both are read as streams.
package origin

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"assay/internal/dataset"
	"assay/internal/provenance"
	"assay/internal/signing"
)

// PredicateType is that of the statement, under a name that can be nobody's (RFC 2606). Version is that of its form.
const (
	PredicateType = "https://assay.invalid/provenance-manifest/v1"
	Version       = 1
)

// Limits of what is read and written.
const (
	maxStatement = 16 << 20 // bytes of the line
	maxName      = 1000     // bytes of a name
	maxSources   = 10_000   // of a batch
)

// Batch is what is known of a batch beside its records. Either Source or SourceColumn is given.
type Batch struct {
	Name         string `json:"batch"`
	Source       string `json:"source,omitempty"`        // of all records
	SourceColumn string `json:"source_column,omitempty"` // of a table, in which each record has its source
	Date         string `json:"date"`                    // on which the batch was taken over: 2006-01-02
	Licence      string `json:"licence,omitempty"`       // such as an SPDX expression; empty where it is not known
}

// Validate reports what a batch cannot be.
func (b *Batch) Validate() error {
	if (b.Source == "") == (b.SourceColumn == "") {
		return errors.New("a batch has either one source or a column of sources: give one of them")
	}
	if _, err := time.Parse(time.DateOnly, b.Date); err != nil {
		return fmt.Errorf("the date of a batch is %q: give one such as 2026-01-31", b.Date)
	}
	if b.Name == "" {
		return errors.New("a batch has no name")
	}
	for what, text := range map[string]string{"name": b.Name, "source": b.Source, "column of sources": b.SourceColumn, "licence": b.Licence} {
		if err := checkName(text); err != nil {
			return fmt.Errorf("the %s of a batch %w", what, err)
		}
	}
	return nil
}

// checkName refuses what would not be readable in a report.
func checkName(text string) error {
	switch {
	case len(text) > maxName:
		return fmt.Errorf("has more than %d bytes", maxName)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("is %q, which is no plain text", text)
	}
	return nil
}

// Manifest is what is signed of a batch.
type Manifest struct {
	Version int `json:"version"`
	Batch
	Files   int            `json:"files"`
	Bytes   int64          `json:"bytes"`             // of all files
	SHA256  dataset.Digest `json:"sha256"`            // of the file; of several, that of their listing: a line of digest, two spaces and name for each
	Columns []string       `json:"columns,omitempty"` // of a table, in their order
	Records int64          `json:"records"`
	Digests dataset.Digest `json:"digests"` // SHA-256 of the records' digests in their order
	File    string         `json:"-"`       // the name of the file or folder, which the statement's subject has
}

// Data is where a batch is.
type Data struct {
	Path      string // a file, or a folder of images
	LabelFile string // beside a file of arrays, where its name does not tell
	Manifest  string // where its manifest is, or will be
}

// ManifestOf is where the manifest of some data lies, unless its user says otherwise.
func ManifestOf(path string) string { return filepath.Clean(path) + ".manifest" }

// Sign writes the manifest of a batch. A record that cannot be read, or has no source, is an error: nobody can vouch for it.
// The data are read twice, so that no digests need to be held.
func Sign(ctx context.Context, data Data, b Batch, by provenance.Signer, w io.Writer) (*Manifest, error) {
	if err := b.Validate(); err != nil {
		return nil, err
	}
	c, err := dataset.OpenContent(ctx, data.Path, data.LabelFile)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Version: Version, Batch: b, Columns: c.Columns()}
	if err := m.files(ctx, c, data.Path); err != nil {
		return nil, err
	}
	if m.Records, m.Digests, err = m.list(ctx, c, io.Discard); err != nil {
		return nil, err
	}
	if m.Records == 0 {
		return nil, fmt.Errorf("%s has no records", data.Path)
	}
	subject := signing.Resource{Name: m.File, Digest: map[string]string{"sha256": m.SHA256.String()}}
	line, err := provenance.SignStatement(subject, PredicateType, m, by)
	if err != nil {
		return nil, err
	}
	out := bufio.NewWriterSize(w, 1<<20)
	if _, err := out.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	again, digests, err := m.list(ctx, c, out)
	if err == nil && (again != m.Records || digests != m.Digests) {
		err = fmt.Errorf("%s was changed while it was read", data.Path)
	}
	return m, errors.Join(err, out.Flush())
}

// files notes what the content is read from.
func (m *Manifest) files(ctx context.Context, c *dataset.Content, path string) error {
	files, err := c.Files(ctx)
	if err != nil {
		return err
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	m.File, m.Files = filepath.Base(full), len(files)
	listing := sha256.New()
	for _, f := range files {
		m.Bytes += f.Bytes
		name, err := filepath.Rel(path, f.Path)
		if err != nil || name == "." || !filepath.IsLocal(name) {
			name = filepath.Base(f.Path) // the file itself, or one of labels beside it
		}
		fmt.Fprintf(listing, "%s  %s\n", f.SHA256, filepath.ToSlash(name))
	}
	if m.SHA256 = dataset.Digest(listing.Sum(nil)); len(files) == 1 {
		m.SHA256 = files[0].SHA256
	}
	return nil
}

// list writes the records' digests, and gives their number and their own digest.
func (m *Manifest) list(ctx context.Context, c *dataset.Content, w io.Writer) (n int64, of dataset.Digest, err error) {
	h := sha256.New()
	to := io.MultiWriter(h, w)
	sources := map[string]bool{}
	err = c.Records(ctx, m.SourceColumn, func(i dataset.Item, problem error) error {
		if problem != nil {
			return problem
		}
		if m.SourceColumn != "" {
			if err := checkSource(i.Cell); err != nil {
				return &dataset.RowError{File: i.File, Row: i.Number, Line: i.Line, Column: m.SourceColumn, Problem: err.Error(), Remedy: "name the source"}
			}
			if sources[i.Cell] = true; len(sources) > maxSources {
				return tooManySources(m.SourceColumn)
			}
		}
		n++
		_, err := to.Write(i.Digest[:])
		return err
	})
	return n, dataset.Digest(h.Sum(nil)), err
}

func tooManySources(column string) error {
	return fmt.Errorf("the column %q names more than %d sources: is it that of the sources?", column, maxSources)
}

// checkSource refuses what names no source.
func checkSource(name string) error {
	if name == "" {
		return errors.New("it has no source")
	}
	if err := checkName(name); err != nil {
		return fmt.Errorf("its source %w", err)
	}
	return nil
}

// signed is a manifest that somebody who is trusted signed, with the digests that it vouches for.
type signed struct {
	*Manifest
	by     string
	at     io.ReaderAt
	offset int64 // of the first digest
}

// open reads a manifest of a size. It is an error that nobody who is trusted signed it, or that its digests are not those that
// were signed. Nothing that it claims makes this take memory.
func open(ctx context.Context, at io.ReaderAt, size int64, trust provenance.Trust) (*signed, error) {
	line, err := bufio.NewReader(io.NewSectionReader(at, 0, min(size, maxStatement))).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("it is no provenance manifest: it does not begin with a line of at most %d MB", maxStatement>>20)
	}
	payload, by, err := provenance.OpenStatement(line, trust)
	if err != nil {
		return nil, err
	}
	m, err := decode(payload)
	if err != nil {
		return nil, err
	}
	s := &signed{m, by, at, int64(len(line))}
	if rest := size - s.offset; rest%sha256.Size != 0 || rest/sha256.Size != m.Records {
		return nil, fmt.Errorf("it was cut, or something was added to it: it is signed for %d records, and has the digests of %d", m.Records, rest/sha256.Size)
	}
	h := sha256.New()
	body := s.body()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := io.CopyN(h, body, 1<<20)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if n < 1<<20 {
			break
		}
	}
	if dataset.Digest(h.Sum(nil)) != m.Digests {
		return nil, errors.New("its digests of records are not those that were signed: it was changed since")
	}
	return s, nil
}

// body is the digests from the first on.
func (s *signed) body() io.Reader { return io.NewSectionReader(s.at, s.offset, s.Records*sha256.Size) }

// decode reads a statement. All that does not make sense is an error.
func decode(payload []byte) (*Manifest, error) {
	var s signing.Statement[json.RawMessage]
	if err := json.Unmarshal(payload, &s); err != nil {
		return nil, fmt.Errorf("what is signed cannot be read: %w", err)
	}
	if s.Type != signing.StatementType || s.PredicateType != PredicateType {
		return nil, fmt.Errorf("what is signed is no provenance manifest: its type is %q, and %q is needed", s.PredicateType, PredicateType)
	}
	d := json.NewDecoder(bytes.NewReader(s.Predicate))
	d.DisallowUnknownFields()
	m := &Manifest{}
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("what is signed cannot be read: %w", err)
	}
	switch {
	case m.Version != Version:
		return nil, fmt.Errorf("it is of version %d, and this program knows version %d", m.Version, Version)
	case len(s.Subject) != 1 || s.Subject[0].Name == "":
		return nil, errors.New("what is signed names no file")
	case s.Subject[0].Digest["sha256"] != m.SHA256.String():
		return nil, errors.New("what is signed contradicts itself: the digest of its subject is not that of its files")
	case m.Records < 1 || m.Records > 1<<48:
		return nil, fmt.Errorf("it is of %d records", m.Records)
	}
	m.File = s.Subject[0].Name
	return m, m.Validate()
}
