package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"assay"
	"assay/internal/assess"
	"assay/internal/evidence"
	"assay/internal/provenance"
	"assay/internal/signing"
	"assay/internal/system"
)

// signatureOf is where the signature of a path lies, unless its user says otherwise.
func signatureOf(path string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return filepath.Join(path, "model.sig")
	}
	return path + ".sig"
}

func signCommand(u *ui) *cobra.Command {
	var key, chain, signature string
	var ignored []string
	c := &cobra.Command{
		Use:   "sign PATH... --key KEY",
		Short: "Sign models or datasets, so that others can tell whether they are as you left them",
		Long: `Sign models or datasets, so that others can tell whether they are as you left them.

Each path, a file or a folder with all that is in it, gets a signature of its own in the format of
OpenSSF Model Signing 1.0: PATH.sig beside a file, model.sig in a folder. The signature names every
file by its SHA-256. What version control keeps in the folder (.git and the like) is left out.

The key is an Ed25519 or ECDSA key (P-256, P-384, P-521) in PEM. Other implementations of the format
know ECDSA keys alone: openssl ecparam -genkey -name prime256v1 -noout makes one.`,
		Example: `  assay sign models/hardened.onnx --key release.pem
  assay sign models --key release.pem --cert chain.pem`,
		Args: cobra.MinimumNArgs(1),
	}
	c.Flags().StringVar(&key, "key", "", "the private key that signs, in PEM")
	c.Flags().StringVar(&chain, "cert", "", "the key's certificate and those above it but for the root, in PEM")
	c.Flags().StringVar(&signature, "signature", "", "the file to write, where there is one path")
	c.Flags().StringSliceVar(&ignored, "ignore", nil, "paths within the folder to leave out")
	c.MarkFlagRequired("key")
	c.RunE = func(c *cobra.Command, args []string) error {
		if signature != "" && len(args) > 1 {
			return usagef("--signature names one file, and there are %d paths to sign: sign them one by one", len(args))
		}
		by, err := signer(key, chain)
		if err != nil {
			return err
		}
		for _, path := range args {
			to := signature
			if to == "" {
				to = signatureOf(path)
			}
			text, m, err := provenance.Sign(c.Context(), path, to, ignored, by, provenance.Options{Progress: u.bytes})
			u.done()
			if err != nil {
				return err
			}
			if err := writeWhole(to, func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
				return err
			}
			u.row("signed", "%s: %d files, digest %s", path, len(m.Files()), m.Digest)
			u.row("signature", "%s", to)
		}
		u.row("key", "%s", by.Key.Public().ID())
		return nil
	}
	return c
}

func signer(key, chain string) (by provenance.Signer, err error) {
	if by.Key, err = signing.ReadKey(key); err != nil || chain == "" {
		return by, err
	}
	by.Chain, err = provenance.ReadCertificates(chain)
	return by, err
}

// trustFlags say whose signatures count.
type trustFlags struct {
	signature, identity string
	keys, certs, roots  []string
	ignored             []string
	lock                bool
	format              string
}

func verifyModelCommand(u *ui) *cobra.Command {
	f := &trustFlags{}
	c := &cobra.Command{
		Use:   "verify-model PATH",
		Short: "Verify that a model or dataset is as it was signed, or as assay.lock pins it",
		Long: `Verify that a model or dataset is as it was signed, or as assay.lock pins it.

The signature is one in the format of OpenSSF Model Signing 1.0, whoever made it. It counts if it is
by a key that is trusted (--key), by a certificate that is (--cert), or by one from which a chain leads
to a root that is (--roots). Nothing is asked of a network, so signatures by way of Sigstore's services
are refused. Every file that was changed, renamed, swapped, removed or added, and every symbolic link,
is named.

With --lock, PATH is a system's description or its folder, and its models and data are compared with
the digests that assay pin wrote.

Exit codes: 0 every file is as it was signed, 1 something is not.`,
		Example: `  assay verify-model models/hardened.onnx --key release.pub.pem
  assay verify-model models --roots company-ca.pem --identity "release team"
  assay verify-model --lock examples/digits`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkFormat(f.format); err != nil {
				return err
			}
			if f.lock {
				return f.verifyLock(u, args)
			}
			if len(args) == 0 {
				return usagef("name the model or dataset to verify")
			}
			return f.verify(c, u, args[0])
		},
	}
	c.Flags().StringVar(&f.signature, "signature", "", "the signature (PATH.sig of a file, model.sig in a folder)")
	c.Flags().StringSliceVar(&f.keys, "key", nil, "public keys that are trusted, in PEM")
	c.Flags().StringSliceVar(&f.certs, "cert", nil, "certificates whose keys are trusted, in PEM")
	c.Flags().StringSliceVar(&f.roots, "roots", nil, "certificates of authorities that are trusted, in PEM")
	c.Flags().StringVar(&f.identity, "identity", "", "whose certificate it must be: its common name, or an address, host name or URI in it")
	c.Flags().StringSliceVar(&f.ignored, "ignore", nil, "paths within the folder that may be there unsigned")
	c.Flags().BoolVar(&f.lock, "lock", false, "compare a system's models and data with the digests in its assay.lock")
	c.Flags().StringVar(&f.format, "format", "text", "of the result: text or json")
	return c
}

func (f *trustFlags) verify(c *cobra.Command, u *ui, path string) error {
	if len(f.keys)+len(f.certs)+len(f.roots) == 0 {
		return usagef("nobody is trusted, so no signature could count: give --key, --cert or --roots")
	}
	trust, err := provenance.ReadTrust(f.keys, f.certs, f.roots, f.identity, clock())
	if err != nil {
		return err
	}
	at := f.signature
	if at == "" {
		at = signatureOf(path)
	}
	v, err := provenance.Verify(c.Context(), path, at, f.ignored, trust, provenance.Options{Progress: u.bytes})
	u.done()
	switch {
	case errors.Is(err, fs.ErrNotExist) && !exists(at) && exists(path):
		err, v = nil, &provenance.Verification{Files: []string{}, Problems: []provenance.Problem{{File: path, Detail: fmt.Sprintf("it is not signed: there is no %s", at)}}}
	case err != nil:
		return err
	}
	if f.format == "json" {
		err = u.json(map[string]any{"path": path, "signature": at, "signer": v.Signer, "files": v.Files, "problems": v.Problems})
	} else {
		for _, p := range v.Problems {
			u.row("refused", "%s", p)
		}
		u.row("verified", "%d files of %s", len(v.Files), path)
		if v.Signer != "" {
			u.row("signed by", "%s", v.Signer)
		}
	}
	if err == nil && len(v.Problems) > 0 {
		return errFailed
	}
	return err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// verifyLock compares a system's models and data with what is pinned.
func (f *trustFlags) verifyLock(u *ui, args []string) error {
	path := description(args)
	s, err := system.Open(path)
	if err != nil {
		return err
	}
	l, err := assess.OpenLock(assess.LockOf(path))
	if err != nil {
		return err
	}
	if len(l.Artefacts) == 0 {
		return assay.WithCode(assay.CodeInput, fmt.Errorf("%s pins nothing: assay pin does", assess.LockOf(path)))
	}
	problems := l.CheckPins(s)
	if f.format == "json" {
		err = u.json(map[string]any{"path": path, "lock": assess.LockOf(path), "pinned": len(l.Artefacts), "problems": append([]evidence.Problem{}, problems...)})
	} else {
		for _, p := range problems {
			u.row("refused", "%s", p)
		}
		u.row("pinned", "%d files, %d of them otherwise than pinned", len(l.Artefacts), len(problems))
	}
	if err == nil && len(problems) > 0 {
		return errFailed
	}
	return err
}

func pinCommand(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "pin [FOLDER | assay.yaml]",
		Short: "Pin a system's models and data: write their digests into assay.lock",
		Long: `Pin a system's models and data: write their digests into assay.lock.

From then on every command that reads the description compares them first, and opens nothing where one
was changed, swapped, renamed, added or removed. Keep the lock in version control.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := description(args)
			s, err := system.Open(path)
			if err != nil {
				return err
			}
			l, err := assess.OpenLock(assess.LockOf(path))
			if err != nil {
				return err
			}
			changed, err := l.Pin(s)
			if err != nil {
				return err
			}
			for _, in := range changed {
				u.row("pinned", "%s (%s): %d bytes, SHA-256 %s", in.Role, in.Path, in.Bytes, in.SHA256)
			}
			u.row("lock", "%s pins %d files, %d of them anew", assess.LockOf(path), len(l.Artefacts), len(changed))
			return l.Write(assess.LockOf(path))
		},
	}
}
