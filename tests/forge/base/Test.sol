// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The part of Foundry's cheat codes that these suites use
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function addr(uint256 key) external pure returns (address);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function prank(address sender) external;
    function startPrank(address sender) external;
    function stopPrank() external;
    function warp(uint256 time) external;
    function assume(bool condition) external pure;
    function label(address account, string calldata name) external;
    function deployCode(string calldata artifact, bytes calldata arguments)
        external
        returns (address);

    function toBase64(bytes calldata data) external pure returns (string memory);

    function expectRevert() external;
    function expectRevert(bytes4 selector) external;
    function expectRevert(bytes calldata data) external;
    function expectEmit() external;

    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
    function snapshotState() external returns (uint256 id);
    function revertToState(uint256 id) external returns (bool);
    function snapshotGasLastCall(string calldata group, string calldata name)
        external
        returns (uint256 gas);
    function snapshotValue(string calldata group, string calldata name, uint256 value) external;

    function assertTrue(bool condition, string calldata said) external pure;
    function assertEq(uint256 left, uint256 right, string calldata said) external pure;
    function assertEq(int256 left, int256 right, string calldata said) external pure;
    function assertEq(address left, address right, string calldata said) external pure;
    function assertEq(bytes32 left, bytes32 right, string calldata said) external pure;
    function assertEq(bytes calldata left, bytes calldata right, string calldata said) external pure;
    function assertEq(string calldata left, string calldata right, string calldata said)
        external
        pure;
    function assertLe(uint256 left, uint256 right, string calldata said) external pure;
    function assertGe(uint256 left, uint256 right, string calldata said) external pure;
}

/// @title What every suite stands on
/// @dev Our own few lines instead of a library: nothing here that no suite uses.
abstract contract Test {
    /// @dev Which functions of a handler a campaign calls; the shape is Foundry's.
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev Into `[low, high]`, every value of it about equally likely.
    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        if (high - low == type(uint256).max) return value;
        return low + value % (high - low + 1);
    }

    /// @dev The account of a name, and a key that signs for it.
    function named(string memory name) internal returns (address account, uint256 key) {
        key = uint256(keccak256(bytes(name)));
        account = vm.addr(key);
        vm.label(account, name);
    }

    function accountOf(string memory name) internal returns (address account) {
        (account,) = named(name);
    }

    /// @dev The selectors of an error with its arguments, to be expected.
    function refusedFor(address account, bytes32 role) internal pure returns (bytes memory) {
        return
            abi.encodeWithSignature(
                "AccessControlUnauthorizedAccount(address,bytes32)", account, role
            );
    }

    /// @dev A call is refused to who lacks a role.
    function checkRefused(address caller, bytes32 role, address target, bytes memory call)
        internal
    {
        vm.prank(caller);
        (bool done, bytes memory why) = target.call(call);
        vm.assertTrue(!done, "done for another");
        vm.assertEq(why, refusedFor(caller, role), "why not");
    }
}
