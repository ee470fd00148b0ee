// Package bom writes what a system is made of, as its description and its files tell: a
// CycloneDX 1.6 ML-BOM, or SPDX 3.0.1 with its profiles for AI and datasets. The same files and
// time give the same bytes.
package bom

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"assay/internal/evidence"
	"assay/internal/model"
	"assay/internal/system"
	"assay/onnx"
)

// Inventory is what a system is made of.
type Inventory struct {
	Program string // that makes the inventory, with its version
	Version string
	Time    time.Time

	system *system.System
	models []part
	data   []part
}

// part is a model or data.
type part struct {
	id, name, supplier, licence, about string
	files                              []evidence.Input
	facts                              []fact // quantities and the like
	inputs, outputs                    string
	architecture                       string
	signature                          string
	role                               system.Role // of data
	endpoint                           bool        // of a model that is elsewhere
}

type fact struct{ name, value string }

// digestOf gives the length and digest of a file, or of a folder's files by name.
type digestOf func(path string) (int64, string, error)

// Take looks at a system's models and data. Digest gives the length and SHA-256 of a file or folder.
func Take(s *system.System, digest digestOf, program, version string, now time.Time) (*Inventory, error) {
	inv := &Inventory{Program: program, Version: version, Time: now.UTC().Truncate(time.Second), system: s}
	for i := range s.Models {
		p, err := takeModel(s, &s.Models[i], digest)
		if err != nil {
			return nil, err
		}
		inv.models = append(inv.models, p)
	}
	for i := range s.Data {
		d := &s.Data[i]
		p := part{id: "data-" + d.Name, name: d.Name, supplier: d.Supplier, licence: d.Licence, role: d.Role, signature: signatureOf(d.Signature)}
		p.facts = append(p.facts, fact{"role", string(d.Role)})
		if err := p.take(s, digest, d.File, d.Labels); err != nil {
			return nil, s.Mistake(d.At, "%v", err)
		}
		inv.data = append(inv.data, p)
	}
	return inv, nil
}

func signatureOf(s *system.Signature) string {
	if s == nil {
		return ""
	}
	return s.File
}

// take notes the digests of files.
func (p *part) take(s *system.System, digest digestOf, names ...string) error {
	for _, name := range names {
		if name == "" {
			continue
		}
		size, sum, err := digest(s.Path(name))
		if err != nil {
			return err
		}
		p.files = append(p.files, evidence.Input{Path: name, Bytes: size, SHA256: sum})
		p.facts = append(p.facts, fact{"bytes of " + name, fmt.Sprint(size)})
	}
	return nil
}

func takeModel(s *system.System, m *system.Model, digest digestOf) (part, error) {
	p := part{id: "model-" + m.Name, name: m.Name, supplier: m.Supplier, licence: m.Licence, about: m.Training, signature: signatureOf(m.Signature)}
	if p.supplier == "" {
		p.supplier = s.About.Provider
	}
	if m.File == "" {
		p.endpoint = true
		return p, nil
	}
	beside, err := onnx.ExternalFiles(s.Path(m.File))
	if err != nil {
		return p, s.Mistake(m.At+".file", "%v", err)
	}
	names := []string{m.File}
	for _, name := range beside {
		names = append(names, path.Join(path.Dir(filepath.ToSlash(m.File)), name))
	}
	if err := p.take(s, digest, names...); err != nil {
		return p, s.Mistake(m.At+".file", "%v", err)
	}
	graph, err := onnx.Open(s.Path(m.File))
	if err != nil {
		return p, s.Mistake(m.At+".file", "%v", err)
	}
	p.look(graph, m.Override())
	return p, nil
}

// look notes what a graph is made of: operators with their numbers, weights, what goes in and out.
func (p *part) look(m *onnx.Model, o model.Override) {
	operators, weights := map[string]int{}, int64(0)
	for _, n := range m.Graph.Nodes {
		operators[n.Op]++
	}
	for _, t := range m.Graph.Initializers {
		n := int64(1)
		for _, d := range t.Shape {
			n *= d
		}
		weights += n
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(operators)) {
		list = append(list, fmt.Sprintf("%d %s", operators[name], name))
	}
	p.architecture = fmt.Sprintf("ONNX graph of %d nodes: %s", len(m.Graph.Nodes), strings.Join(list, ", "))
	p.facts = append(p.facts, fact{"weights", fmt.Sprint(weights)}, fact{"operator set", fmt.Sprint(m.Opset())})
	if r, err := model.Recognise(m, o); err == nil {
		p.inputs = fmt.Sprintf("%s, float32 %v", r.Layout, r.Shape)
		p.outputs = fmt.Sprintf("%s of %d classes", r.Output, len(r.Classes))
	}
}

// digest names the inventory's content, for identifiers that are the same each time.
func (inv *Inventory) digest() [sha256.Size]byte {
	text := inv.system.Digest() + inv.Version + inv.Time.Format(time.RFC3339)
	for _, p := range slices.Concat(inv.models, inv.data) {
		for _, f := range p.files {
			text += f.SHA256
		}
	}
	return sha256.Sum256([]byte(text))
}

// uuid is a UUID of version 8 (RFC 9562) made of the digest.
func (inv *Inventory) uuid() string {
	d := inv.digest()
	d[6], d[8] = d[6]&0x0f|0x80, d[8]&0x3f|0x80
	h := hex.EncodeToString(d[:16])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}
