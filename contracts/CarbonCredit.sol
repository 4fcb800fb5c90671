// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";

import {CreditIssuance} from "./CreditIssuance.sol";
import {ICarbonCredit} from "./interfaces/ICarbonCredit.sol";
import {BatchMetadata} from "./libraries/BatchMetadata.sol";
import {BatchWord} from "./libraries/BatchWord.sol";
import {Cancellation} from "./libraries/Cancellation.sol";
import {Book, CreditBook} from "./libraries/CreditBook.sol";
import {Signature} from "./libraries/Signature.sol";
import {SignedMessages} from "./libraries/SignedMessages.sol";

/// @title Carbon credits of a zero-carbon park
/// @dev Assumed: the admin is a timelock or a multisignature account and grants roles with care;
/// the issuer and the verifiers of a class are independent of each other; block time is good to
/// some seconds.
///
/// Promised: what is issued of a batch is held, retired or cancelled, to the kilogram. Only the
/// holder retires, cancels or (with the operators it approved) transfers its units, by a transaction
/// or a signature. No pause stops a retirement. The log of ledger events is complete and in order if
/// it yields `logHead()`.
///
/// The admin cannot issue by itself; it can grant roles, in public, to parties that then can.
contract CarbonCredit is CreditIssuance, ERC1155, Nonces {
    using CreditBook for Book;

    // ------------------------------------------------------------ constructor

    /// @param admin the one account that may grant roles, unpause and reinstate
    /// @param adminDelay how long a change of the admin waits, in seconds
    constructor(address admin, uint48 adminDelay)
        ERC1155("")
        EIP712("Truetonne CarbonCredit", "1")
        AccessControlDefaultAdminRules(adminDelay, admin)
    {}

    // --------------------------------------------------------------- issuance

    /// @inheritdoc ICarbonCredit
    function issue(Claim memory claim, address verifier, bytes calldata signature)
        external
        returns (uint256 batchId)
    {
        uint64 buffered;
        (batchId, buffered) = _open(claim, verifier, signature);

        // The recipient comes last: it may be a contract, and is then called.
        if (buffered != 0) _mintToBuffer(batchId, buffered);
        _mint(claim.recipient, batchId, claim.amount - buffered, "");
    }

    /// @dev The buffer is this contract, which need not ask itself whether it accepts.
    function _mintToBuffer(uint256 batchId, uint64 amount) private {
        uint256[] memory ids = new uint256[](1);
        uint256[] memory amounts = new uint256[](1);
        ids[0] = batchId;
        amounts[0] = amount;
        _update(address(0), address(this), ids, amounts);
    }

    // ------------------------------------------------------------- retirement

    /// @inheritdoc ICarbonCredit
    function retire(bytes32 key, uint256 batchId, uint64 amount, Retirement memory details)
        external
        returns (uint64 retirementId)
    {
        _checkRetirement(details);
        return _retire(msg.sender, key, batchId, amount, details);
    }

    /// @inheritdoc ICarbonCredit
    function retireBatch(
        bytes32 key,
        uint256[] calldata batchIds,
        uint64[] calldata amounts,
        Retirement memory details
    ) external returns (uint64 firstRetirementId) {
        uint256 count = batchIds.length;
        if (count == 0 || count > CreditBook.MAX_BATCHES || count != amounts.length) {
            revert BadListLength(count, amounts.length, CreditBook.MAX_BATCHES);
        }
        _checkRetirement(details);

        firstRetirementId = _book.counters.retirements + 1;
        for (uint256 i; i < count; ++i) {
            _retire(msg.sender, key, batchIds[i], amounts[i], details);
        }
    }

    /// @inheritdoc ICarbonCredit
    function retireFor(RetirementOrder memory order, bytes calldata signature)
        external
        returns (uint64 retirementId)
    {
        _checkRetirement(order.details);
        _useCheckedNonce(order.holder, order.nonce);
        _checkHolder(order.holder, hashRetirement(order), order.deadline, signature);
        return _retire(order.holder, order.key, order.batchId, order.amount, order.details);
    }

    /// @inheritdoc ICarbonCredit
    function replace(bytes32 key, uint256 batchId, uint256 replacedBatchId, uint64 amount)
        external
        onlyRole(REVERSER_ROLE)
        returns (uint64 retirementId)
    {
        uint64 retiredTotal;
        (retirementId, retiredTotal) = _burnRetired(address(this), key, batchId, amount);
        Cancellation.replace(
            _book, key, batchId, replacedBatchId, retirementId, amount, retiredTotal
        );
    }

    function _retire(
        address holder,
        bytes32 key,
        uint256 batchId,
        uint64 amount,
        Retirement memory details
    ) private returns (uint64 retirementId) {
        uint64 retiredTotal;
        (retirementId, retiredTotal) = _burnRetired(holder, key, batchId, amount);

        uint64 first = retiredTotal - amount + 1;
        (uint64 seq, bytes32 head) = _book.seal(
            keccak256(
                abi.encode(
                    Retired.selector,
                    key,
                    batchId,
                    holder,
                    retirementId,
                    first,
                    amount,
                    retiredTotal,
                    details
                )
            )
        );
        emit Retired(
            key, batchId, holder, retirementId, first, amount, retiredTotal, details, seq, head
        );
    }

    /// @dev Burns units as the next retirement: the lowest serials that are left.
    function _burnRetired(address holder, bytes32 key, uint256 batchId, uint64 amount)
        private
        returns (uint64 retirementId, uint64 retiredTotal)
    {
        if (key == 0) revert EmptyKey();
        if (amount == 0) revert ZeroAmount();

        _burn(holder, batchId, amount);
        BatchWord batch = _book.batches[batchId];
        retiredTotal = batch.retired() + amount;
        _book.batches[batchId] = batch.withRetired(uint40(retiredTotal));
        retirementId = ++_book.counters.retirements;
    }

    function _checkRetirement(Retirement memory details) private pure {
        CreditBook.requireShort(details.beneficiary, CreditBook.MAX_TEXT);
        CreditBook.requireShort(details.reason, CreditBook.MAX_TEXT);
        if (details.consumptionStart > details.consumptionEnd) {
            revert BadPeriod(details.consumptionStart, details.consumptionEnd);
        }
        uint16 country = uint16(details.country);
        if (country != 0 && !(_isCapital(country >> 8) && _isCapital(country & 0xff))) {
            revert BadCountry(details.country);
        }
    }

    function _isCapital(uint16 letter) private pure returns (bool) {
        return letter >= 0x41 && letter <= 0x5a;
    }

    // ------------------------------------------------- cancellation, approval

    /// @inheritdoc ICarbonCredit
    function cancel(bytes32 key, uint256 batchId, uint64 amount, string calldata reason) external {
        if (key == 0) revert EmptyKey();
        if (amount == 0) revert ZeroAmount();

        _burn(msg.sender, batchId, amount);
        Cancellation.cancel(_book, key, batchId, amount, reason);
    }

    /// @inheritdoc ICarbonCredit
    function permitForAll(
        address owner,
        address operator,
        bool approved,
        uint64 deadline,
        bytes calldata signature
    ) external {
        bytes32 digest = hashApproval(owner, operator, approved, _useNonce(owner), deadline);
        _checkHolder(owner, digest, deadline, signature);
        _setApprovalForAll(owner, operator, approved);
    }

    function _checkHolder(address holder, bytes32 digest, uint64 deadline, bytes calldata signature)
        private
        view
    {
        if (deadline < block.timestamp) revert SignatureExpired(deadline);
        if (!Signature.isOf(holder, digest, signature)) {
            revert BadHolderSignature(holder);
        }
    }

    // -------------------------------------------------------------- the one hook

    /// @dev Mints, burns and transfers all pass here, singly or in batches, and nowhere else is a
    /// status checked. A burn is a retirement or a cancellation by the holder: a pause does not
    /// stop it.
    function _update(address from, address to, uint256[] memory ids, uint256[] memory values)
        internal
        override
    {
        if (to != address(0) && paused()) revert EnforcedPause();
        for (uint256 i; i < ids.length; ++i) {
            _book.requireMovable(ids[i]);
        }
        super._update(from, to, ids, values);
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc ICarbonCredit
    function totalSupply(uint256 batchId) external view returns (uint256) {
        return _book.batches[batchId].held();
    }

    /// @inheritdoc ICarbonCredit
    function retirementCount() external view returns (uint64) {
        return _book.counters.retirements;
    }

    /// @inheritdoc ICarbonCredit
    function hashRetirement(RetirementOrder memory order) public view returns (bytes32 digest) {
        return _hashTypedDataV4(SignedMessages.hashOrder(order));
    }

    /// @inheritdoc ICarbonCredit
    function hashApproval(
        address owner,
        address operator,
        bool approved,
        uint256 nonce,
        uint64 deadline
    ) public view returns (bytes32 digest) {
        return _hashTypedDataV4(
            SignedMessages.hashApproval(owner, operator, approved, nonce, deadline)
        );
    }

    /// @notice ERC-1155 metadata of a batch: a data URI with JSON.
    function uri(uint256 batchId) public view override returns (string memory) {
        return BatchMetadata.uri(_book, batchId);
    }

    /// @inheritdoc ICarbonCredit
    function name() external pure returns (string memory) {
        return "Truetonne Carbon Credit";
    }

    /// @inheritdoc ICarbonCredit
    function symbol() external pure returns (string memory) {
        return "TTC";
    }

    /// @inheritdoc ICarbonCredit
    function decimals() external pure returns (uint8) {
        return 3;
    }

    /// @notice ERC-165: ERC-1155 with metadata, access control, and this ledger's own interface.
    function supportsInterface(bytes4 interfaceId)
        public
        view
        override(ERC1155, AccessControlDefaultAdminRules)
        returns (bool)
    {
        return
            interfaceId == type(ICarbonCredit).interfaceId || super.supportsInterface(interfaceId);
    }
}
