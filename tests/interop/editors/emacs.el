;;; A session in Emacs with Eglot; writes its results as JSON.  -*- lexical-binding: t -*-

(require 'json)
(package-initialize)
(require 'eglot)
(require 'flymake)

(define-derived-mode rhai-mode prog-mode "Rhai")
(add-to-list 'auto-mode-alist '("\\.rhai\\'" . rhai-mode))
(add-to-list 'eglot-server-programs `(rhai-mode . (,(getenv "RHAID") "lsp")))

(defvar rhaid-results nil)

(defun add-result (name value)
  (push (cons name value) rhaid-results))

(defun await (condition)
  "Waits until CONDITION returns non-nil, and returns its value."
  (let ((until (+ (float-time) 30)) found)
    (while (and (not (setq found (funcall condition))) (< (float-time) until))
      (accept-process-output nil 0.05))
    found))

(defun goto-text (text)
  "Moves point behind TEXT."
  (goto-char (point-min))
  (search-forward text))

(defun run ()
  (find-file "scripts/a.rhai")
  (apply #'eglot--connect (eglot--guess-contact))
  (flymake-mode 1)
  (flymake-start)
  (let ((found (await #'flymake-diagnostics)))
    (add-result 'diagnostics
         (vconcat (mapcar (lambda (one)
                            `((text . ,(flymake-diagnostic-text one))
                              (at . ,(buffer-substring (flymake-diagnostic-beg one) (flymake-diagnostic-end one)))))
                          found))))
  (goto-text "http_gett")
  (delete-char -1)
  (eglot--signal-textDocument/didChange)
  (add-result 'cleared (and (await (lambda () (null (flymake-diagnostics)))) t))
  (goto-text "msg.")
  (add-result 'completion (vconcat (all-completions "" (nth 2 (eglot-completion-at-point)))))
  (goto-text "mqtt_sub")
  (let (page)
    (eglot-hover-eldoc-function (lambda (text &rest _) (setq page text)))
    (await (lambda () page))
    (add-result 'hover (substring-no-properties (or page ""))))
  (goto-text "units::fahr")
  (let ((found (car (xref-backend-definitions 'eglot "LSP identifier at point."))))
    (add-result 'definition (format "%s:%s" (xref-location-group (xref-item-location found)) (xref-location-line (xref-item-location found)))))
  (eglot-shutdown (eglot-current-server))
  (add-result 'stopped t))

(condition-case why (run) (error (add-result 'why (format "%S" why))))
(with-temp-file (getenv "RESULTS") (insert (json-encode rhaid-results)))
(kill-emacs 0)
