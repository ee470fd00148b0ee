package system

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"assay"
	"assay/internal/dataset"
	"assay/internal/model/remote"
)

// File is a file or folder that a description names.
type File struct {
	Role string // such as "model hardened"
	Path string // as it is written
	At   string // the field that names it
}

// Outside reports whether the path is absolute. A relative one cannot leave the folder
// of the description, so whoever checks somebody else's has these alone to look at.
func (f File) Outside() bool { return filepath.IsAbs(f.Path) }

// Path is where a path of the description is on this machine.
func (s *System) Path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.folder, path)
}

// Files lists the files that the description names, in its order, but for those that
// hold secrets.
func (s *System) Files() []File {
	var out []File
	add := func(role, path, at string, args ...any) {
		if path != "" {
			out = append(out, File{role, path, fmt.Sprintf(at, args...)})
		}
	}
	signed := func(by *Signature, what, at string) {
		if by != nil {
			add("signature of "+what, by.File, "%s.file", at)
			add("key of "+what, by.Key, "%s.key", at)
			add("roots of "+what, by.Roots, "%s.roots", at)
		}
	}
	for i, m := range s.Models {
		add("model "+m.Name, m.File, "models[%d].file", i)
		if m.Tokenizer != nil {
			add("tokenizer of "+m.Name, m.Tokenizer.File, "models[%d].tokenizer.file", i)
		}
		if m.Detector != nil {
			add("detector of "+m.Name, m.Detector.File, "models[%d].detector.file", i)
		}
		signed(m.Signature, "model "+m.Name, fmt.Sprintf("models[%d].signature", i))
	}
	for i, e := range s.Endpoints {
		add("authorities of "+e.Name, e.TLS.CA, "endpoints[%d].tls.ca", i)
	}
	for i, d := range s.Data {
		add("data "+d.Name, d.File, "data[%d].file", i)
		add("labels of "+d.Name, d.Labels, "data[%d].labels", i)
		add("schema of "+d.Name, d.Schema.File, "data[%d].schema", i)
		if s := d.Substitutions; s != nil {
			add("synonyms of "+d.Name, s.Synonyms, "data[%d].substitutions.synonyms", i)
			add("embeddings of "+d.Name, s.Embeddings, "data[%d].substitutions.embeddings", i)
			add("protected words of "+d.Name, s.Protect, "data[%d].substitutions.protect", i)
		}
		signed(d.Signature, "data "+d.Name, fmt.Sprintf("data[%d].signature", i))
	}
	for i, r := range s.Records {
		add("record "+r.Name, r.File, "records[%d].file", i)
	}
	for i, file := range s.Catalogues {
		add("catalogue", file, "catalogues[%d]", i)
	}
	return out
}

// Digest is the SHA-256, in hexadecimal, of what the description says, however it is written. What
// changes nothing that a model answers is left out: how often, how fast and with which patience an
// endpoint is asked. So these can be changed while an assessment waits to go on.
func (s *System) Digest() string {
	said := *s
	said.Endpoints = slices.Clone(s.Endpoints)
	for i := range said.Endpoints {
		c := &said.Endpoints[i].Config
		c.Budget, c.Rate, c.Retry, c.Timeout = 0, remote.Rate{}, remote.Retry{}, 0
	}
	text, err := json.Marshal(said)
	if err != nil {
		panic(fmt.Sprintf("system: a description cannot be written as JSON: %v", err)) // a fault of the program: all of it was read from text
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Config says how an endpoint is asked.
func (s *System) Config(e *Endpoint) remote.Config {
	c := e.Config
	if c.Auth.File != "" {
		c.Auth.File = s.Path(c.Auth.File)
	}
	if c.TLS.CA != "" {
		c.TLS.CA = s.Path(c.TLS.CA)
	}
	return c
}

// Options say how data are read.
func (s *System) Options(d *Data) dataset.Options {
	o := dataset.Options{Schema: d.Schema.Own, Label: d.Label, BadRecords: d.BadRecords}
	if d.Labels != "" {
		o.LabelFile = s.Path(d.Labels)
	}
	return o
}

// file notes a file that cannot be used: one that is not there, or that a relative path
// reaches outside the folder. An empty name is none. It reports whether all is well.
func (c *checker) file(path, name string, folders bool) bool {
	if name == "" {
		return false
	}
	info, err := c.stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if c.Full() {
			c.Fail(path, "is not there")
			return false
		}
		c.Fail(path, "%q is not there%s", name, c.neighbour(name))
	case err != nil:
		c.Fail(path, "%q cannot be used: %s", name, err)
	case info.IsDir() && !folders:
		c.Fail(path, "%q is a folder where a file must be", name)
	case !info.IsDir() && !info.Mode().IsRegular():
		c.Fail(path, "%q is no regular file", name)
	default:
		return true
	}
	return false
}

var errOutside = errors.New("it leads out of the folder of this description: write the absolute path if that is meant")

func (c *checker) stat(name string) (fs.FileInfo, error) {
	if filepath.IsAbs(name) {
		return os.Stat(name)
	}
	if !filepath.IsLocal(name) {
		return nil, errOutside
	}
	info, err := c.root.Stat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		if _, linked := os.Stat(c.system.Path(name)); linked == nil {
			return nil, errOutside
		}
	}
	return info, err
}

// neighbour tells the file in the same folder that was probably meant.
func (c *checker) neighbour(name string) string {
	f, err := os.Open(filepath.Dir(c.system.Path(name)))
	if err != nil {
		return ": no such folder"
	}
	defer f.Close()
	const enough = 1000
	names, _ := f.Readdirnames(enough)
	if nearest := assay.Nearest(filepath.Base(name), names); nearest != "" {
		return fmt.Sprintf(": did you mean %q?", filepath.Join(filepath.Dir(name), nearest))
	}
	return ""
}
